"""The main job against a mail server that is not ours: a list as Excel saves it, a campaign, Postfix, its mailboxes."""

import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.postfix.instance import Postfix, a_postfix
from tests.processes.servers import (
    APP,
    ROOT,
    Server,
    due_in,
    environment,
    finished_run,
    running,
    wait_until,
)

pytestmark = pytest.mark.postfix

# As German Excel saves it: semicolons, CP1252, CRLF, quotes where a cell needs them, an empty line at the end.
EXCEL = (
    "E-Mail;Name;Ort;Kundennummer;Bemerkung\r\n"
    "juergen.mueller@kunden.example;Jürgen Müller;Köln;0042;\r\n"
    'zoe@kunden.example;Zoë Groß;"Frankfurt; Oder";7;"sagt ""guten Tag"""\r\n'
    'renee@kunden.example;Renée d’Arc;Straßburg;8;"erste Zeile\nzweite Zeile"\r\n'
    "Anna.Berg@Kunden.Example;Anna Berg;Ängelholm;9;zahlt in €\r\n"
    "anna.berg@kunden.example;Anna Berg-Ström;Malmö;9;zahlt in €\r\n"
    "lena@xn--mller-kva.example;Lena;Graz;10;– Gedankenstrich –\r\n"
    "kein-at-zeichen;Niemand;Nirgends;11;\r\n"
    ";Leer;Nirgends;12;\r\n"
    "\r\n"
)
MAILBOXES = (
    "juergen.mueller@kunden.example",
    "zoe@kunden.example",
    "renee@kunden.example",
    "anna.berg@kunden.example",
    "lena@xn--mller-kva.example",
)
SUBJECT = "Grüße nach {{ recipient.attributes.Ort }}, {{ name }}"
HTML = (
    "<p>Liebe/r {{ name }},</p><p>Ihre Nummer ist {{ recipient.attributes.Kundennummer }}."
    " {{ recipient.attributes.Bemerkung }}</p>\n.\n<p>Punkt.</p>"
    "<p><a href='{{ unsubscribe_url }}'>abmelden</a></p>"
)


def test_everybody_on_an_excel_list_has_exactly_one_mail_with_the_right_words(
    tmp_path: Path,
) -> None:
    with a_postfix(MAILBOXES) as postfix, running([APP], tmp_path) as [server]:
        server.post("/api/audiences", {"name": "Kunden"})
        imported = _import(tmp_path)
        run = _send(server, postfix)
        wait_until(lambda: postfix.count() >= len(MAILBOXES), "Postfix has delivered")

        assert '"Kunden": 5 added, 1 updated, 2 rejected.' in imported
        assert run["counts"]["sent"] == run["counts"]["recipients"] == len(MAILBOXES)
        assert {a: len(postfix.messages(a)) for a in postfix.folders} == {
            **dict.fromkeys(MAILBOXES, 1),
            "stranger": 0,
        }
        _assert_says(postfix, "juergen.mueller@kunden.example", "Köln", "Jürgen Müller", "0042")
        _assert_says(postfix, "zoe@kunden.example", "Frankfurt; Oder", "Zoë Groß", '"guten Tag"')
        _assert_says(postfix, "renee@kunden.example", "Straßburg", "Renée d’Arc", "erste Zeile")
        _assert_says(postfix, "anna.berg@kunden.example", "Malmö", "Anna Berg-Ström", "€")
        _assert_says(postfix, "lena@xn--mller-kva.example", "Graz", "Lena", "– Gedankenstrich –")


def _import(folder: Path) -> str:
    file = folder / "kunden.csv"
    file.write_bytes(EXCEL.encode("cp1252"))
    done = subprocess.run(
        [sys.executable, "app.py", "import-recipients", "Kunden", file],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rejected = (folder / "kunden.rejected.csv").read_text()
    assert "kein-at-zeichen" in rejected
    return done.stdout


def _send(server: Server, postfix: Postfix) -> dict[str, dict[str, int]]:
    account = server.post(
        "/api/accounts",
        {
            "name": "Postfix",
            "host": "127.0.0.1",
            "port": postfix.port,
            "from_email": "brief@absender.example",
            "from_name": "Der Brief – Ökologisch",
        },
    )
    tested = server.post(f"/api/accounts/{account['id']}/test", {})
    assert tested["ok"], tested
    campaign = server.post(
        "/api/campaigns",
        {
            "name": "Brief",
            "subject": SUBJECT,
            "html": HTML,
            "audience_ids": [1],
            "account_ids": [account["id"]],
        },
    )
    schedule = server.post(
        "/api/schedules", {"campaign_id": campaign["id"], "schedule_time": due_in(1)}
    )
    return wait_until(lambda: finished_run(server, schedule["id"]), "the run ends")


def _assert_says(postfix: Postfix, address: str, city: str, name: str, words: str) -> None:
    [message] = postfix.messages(address)
    assert message["Subject"] == f"Grüße nach {city}, {name}"
    [sender] = message["From"].addresses
    assert sender.display_name == "Der Brief – Ökologisch"
    assert sender.addr_spec == "brief@absender.example"
    assert message["Message-ID"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for kind in ("plain", "html"):
        text = _body(message, kind)
        assert f"Liebe/r {name}," in text
        assert words in text.replace("&#34;", '"').replace("&quot;", '"')
        assert "Punkt." in text


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    content: str = part.get_content()
    return content
