from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import signed_in


def test_the_log_shows_who_did_what_and_how_it_was_and_is(house: Sendonce) -> None:
    admin = signed_in(house)
    admin.post_form("/audiences/new", {"name": "Readers"})
    admin.post_form("/audiences/1/rename", {"name": "Friends", "version": "1"})

    page = admin.get("/audit?kind=audience").text

    assert page.index("<strong>Changed</strong>") < page.index("<strong>Created</strong>")
    assert '<a href="/audiences/1">Friends</a>' in page
    assert '<th scope="row">name</th><td>Readers</td><td>Friends</td>' in page
    assert "admin@example.com" in page
    assert 'href="/audit" aria-current="page"' in page


def test_filters_let_through_what_they_name_and_say_when_that_is_nothing(house: Sendonce) -> None:
    admin = signed_in(house)
    admin.post_form("/audiences/new", {"name": "Readers"})

    def shows(query: str) -> bool:
        return "<strong>Created</strong>" in admin.get(f"/audit?{query}").text

    assert shows("actor=admin@")
    assert shows("object=Readers")
    assert shows("object=audience:1")
    assert not shows("actor=bootstrap")
    assert not shows("until=2000-01-01")
    assert "Nothing in this period" in admin.get("/audit?until=2000-01-01").text
    wrong = admin.get("/audit?since=yesterday")
    assert (wrong.status_code, "must be a day" in wrong.text) == (422, True)


def test_a_recipient_is_found_by_the_address_that_stands_nowhere_in_the_log(
    house: Sendonce, client: FlaskClient
) -> None:
    client.post("/api/suppressions", json={"email": "anna@example.org"})

    found = client.get("/api/audit?object=anna@example.org").json["items"]
    everything = client.get("/api/audit").text

    assert [entry["action"] for entry in found] == ["suppress"]
    assert "anna" not in everything


def test_the_export_has_what_the_page_shows_and_no_formula(house: Sendonce) -> None:
    admin = signed_in(house)
    admin.post_form("/audiences/new", {"name": "=1+1"})

    lines = admin.get("/audit.csv?kind=audience").text.splitlines()

    assert len(lines) == 2
    assert ",audience:1,'=1+1," in lines[1]


def test_only_an_admin_reads_the_log_and_sees_the_way_to_it(house: Sendonce) -> None:
    signed_in(house)
    editor = signed_in(house, role=Role.EDITOR)

    answers = [editor.get(path).status_code for path in ("/audit", "/audit.csv", "/api/audit")]

    assert answers == [403, 403, 403]
    assert "/audit" not in editor.get("/runs").text
