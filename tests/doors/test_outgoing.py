"""Where accounts lead is an admin's to say and for all to see; TLS is verified unless an admin says otherwise."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from mail.networks import network_of
from tests.mail.certificates import server_context
from tests.mail.scripted_server import ScriptedServer
from tests.web.browser_client import signed_in
from tests.web.given import an_account

FORM = {
    "name": "Own",
    "host": "mail.example.com",
    "port": "587",
    "security": "starttls",
    "username": "news",
    "password": "correct horse",
    "from_email": "news@example.com",
    "max_connections": "4",
    "pipelining": "on",
}


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("127.1", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f000001", "loopback"),
        ("0", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("LocalHost.", "loopback"),
        ("mail.localhost", "loopback"),
        ("169.254.169.254", "link_local"),
        ("fe80::1", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("172.16.0.1", "private"),
        ("100.64.0.1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("fd00::1", "private"),
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("mail.example.com", "name"),
        ("intranet", "name"),
    ],
)
def test_the_network_of_a_host_is_told_without_looking_it_up(host: str, network: str) -> None:
    assert network_of(host) == network


def test_an_account_says_which_network_its_host_is_in(house: Sendonce, client: FlaskClient) -> None:
    account = an_account(client, host="169.254.169.254")
    viewer = signed_in(house, role=Role.VIEWER)

    pages = [viewer.get(path).text for path in ("/accounts", f"/accounts/{account['id']}")]

    assert account["network"] == "link_local"
    assert [page.lower().count("link-local") > 0 for page in pages] == [True, True]


def test_a_test_says_in_which_network_it_arrived(client: FlaskClient) -> None:
    with ScriptedServer({}) as server:
        account = an_account(client, host="localhost", port=server.port)
        steps = client.post(f"/api/accounts/{account['id']}/test", json={}).json["steps"]

    assert steps[0]["detail"].endswith(f"port {server.port}, on this machine")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_only_an_admin_says_where_an_account_leads(
    house: Sendonce, client: FlaskClient, role: Role
) -> None:
    account = an_account(client)
    person = signed_in(house, role=role)
    where = f"/accounts/{account['id']}"
    api = {"X-CSRF-Token": person.token()}

    answers = [
        person.post_form("/accounts/new", FORM | {"host": "10.0.0.1"}),
        person.post_form(f"{where}/edit", FORM | {"host": "10.0.0.1", "version": "1"}),
        person.post_form(f"{where}/test", {}),
        person.client.patch(f"/api{where}", json={"verify_tls": False}, headers=api),
        person.client.patch(f"/api{where}", json={"host": "10.0.0.1"}, headers=api),
        person.client.post(f"/api{where}/test", json={}, headers=api),
    ]

    assert [answer.status_code for answer in answers] == [403] * 6
    kept = client.get(f"/api{where}").json
    assert (kept["host"], kept["verify_tls"]) == ("mail.example.com", True)


def test_a_certificate_is_checked_unless_an_admin_says_otherwise(
    house: Sendonce, client: FlaskClient, tmp_path: Path
) -> None:
    ours, _ = server_context(tmp_path, names=("localhost",))
    admin = signed_in(house)

    with ScriptedServer(tls=ours, implicit_tls=True) as server:
        account = an_account(client, host="localhost", port=server.port, security="tls")
        where = f"/accounts/{account['id']}"
        checked = client.post(f"/api{where}/test", json={}).json
        quiet = admin.get(where).text
        changed = client.patch(f"/api{where}", json={"verify_tls": False}).json
        unchecked = client.post(f"/api{where}/test", json={}).json
        loud = [admin.get(path).text for path in ("/accounts", where, f"{where}/edit")]

    assert (checked["ok"], checked["steps"][-1]["step"]) == (False, "tls")
    assert "certificate can't be trusted" in checked["steps"][-1]["detail"]
    assert account["verify_tls"]
    assert not changed["verify_tls"]
    assert unchecked["ok"]
    told = {step["step"]: step["detail"] for step in unchecked["steps"]}
    assert "certificate not checked" in told["tls"]
    assert "Certificate not checked" not in quiet
    assert ["Certificate not checked" in page for page in loud[:2]] == [True, True]
    assert 'name="unverified_tls" checked' in loud[2]


def test_the_form_switches_the_check_off_only_where_its_box_is_ticked(
    house: Sendonce, client: FlaskClient
) -> None:
    admin = signed_in(house)

    admin.post_form("/accounts/new", FORM)
    by_default = client.get("/api/accounts/2").json
    admin.post_form("/accounts/2/edit", FORM | {"version": "1", "unverified_tls": "on"})
    ticked = client.get("/api/accounts/2").json
    admin.post_form("/accounts/2/edit", FORM | {"version": "2"})
    again = client.get("/api/accounts/2").json

    assert [a["verify_tls"] for a in (by_default, ticked, again)] == [True, False, True]


def test_the_sandbox_has_no_certificate_to_leave_out(client: FlaskClient) -> None:
    answer = client.patch("/api/accounts/1", json={"verify_tls": False})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "verify_tls"
