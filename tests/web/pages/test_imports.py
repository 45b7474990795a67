"""/audiences/{id}/import: a CSV file, step by step, without a script."""

import io
import os
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from assembly import Sendonce
from audience import csv_import
from identity.model import Role
from storage import aliveness
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import an_audience

PEOPLE = (
    "E-Mail;Vorname;Notiz\nann@example.com;Ann;x\nnobody;;\nANN@example.com;Anna;\n"
    "bob@example.com;Bob;\ncy@example.com;;\n"
)
COLUMNS = {"to_0": "email", "to_1": "attribute", "as_1": "first", "to_2": "", "header": "yes"}


def uploaded(browser: BrowserClient, text: str = PEOPLE, *, encoding: str = "utf-8") -> str:
    file = (io.BytesIO(text.encode(encoding)), "people.csv")
    answer = browser.post_form("/audiences/1/import", {"file": file})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def checked(browser: BrowserClient, path: str, **fields: str) -> str:
    answer = browser.post_form(path, COLUMNS | fields)
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"] == f"{path}/check"
    return ended(browser, f"{path}/check")


def ended(browser: BrowserClient, path: str) -> str:
    """Return a page of an import once it does not run any more."""
    for _ in range(10_000):
        page = browser.get(path).text
        if "data-importing" not in page:
            return page
    raise AssertionError("the import does not end")


def told(page: str) -> dict[str, str]:
    """Return the facts on a page."""
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    return {name: re.sub(r"<.*?>", "", value).split(" ")[0].strip(",") for name, value in facts}


def kept(house: Sendonce) -> list[Path]:
    return sorted((house.settings.data_dir / "uploads").glob("*.csv"))


def seen_check(browser: BrowserClient, path: str) -> dict[str, str]:
    """Return what the button under the check says: which check it was that somebody looked at."""
    found = re.search(r'name="check" value="(\d+)"', browser.get(path + "/check").text)
    return {"check": found[1] if found else ""}


def press_import(browser: BrowserClient, path: str) -> TestResponse:
    return browser.post_form(f"{path}/start", seen_check(browser, path))


def test_a_file_goes_through_all_steps(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": "bob@example.com", "name": "Robert"}])
    client.post("/api/suppressions", json={"email": "cy@example.com"})
    browser = signed_in(house)

    path = uploaded(browser)
    columns = browser.get(path).text
    check = checked(browser, path)

    assert "5 rows" in columns
    assert "semicolon" in columns
    assert 'value="Vorname"' in columns
    assert told(check) == {
        "New": "2",
        "In the audience already": "1",
        "Twice in the file": "1",
        "Rejected": "1",
        "Suppressed": "1",
    }
    assert "Import 3 people" in check
    assert client.get("/api/audiences/1").json["recipients"] == 1

    begun = press_import(browser, path)
    done = ended(browser, begun.headers["Location"])

    assert "Done: 3 people from 5 rows" in done
    assert "nobody" in done
    found = client.get("/api/audiences/1/recipients").json["items"]
    assert [(r["email"], r["name"], r["attributes"]) for r in found] == [
        ("bob@example.com", "Robert", {"first": "Bob"}),
        ("ANN@example.com", "", {"first": "Anna"}),
        ("cy@example.com", "", {}),
    ]
    assert kept(house) == []


def test_an_import_that_is_begun_twice_runs_once(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)
    path = uploaded(browser)
    checked(browser, path)

    button = seen_check(browser, path)
    first = browser.post_form(f"{path}/start", button)
    again = browser.post_form(f"{path}/start", button)

    assert first.headers["Location"] == again.headers["Location"]
    assert "Show the import" in browser.get(f"{path}/check").text
    ended(browser, first.headers["Location"])


def test_a_file_without_a_heading_keeps_its_first_person(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    browser = signed_in(house)

    path = uploaded(browser, "ann@example.com,Ann\nbob@example.com,Bob\n")
    columns = browser.get(path).text
    checked(browser, path, to_1="name", header="no")
    ended(browser, press_import(browser, path).headers["Location"])

    assert "the first row is a person" in columns
    found = client.get("/api/audiences/1/recipients").json["items"]
    assert [(r["email"], r["name"]) for r in found] == [
        ("ann@example.com", "Ann"),
        ("bob@example.com", "Bob"),
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to_0": "attribute", "as_0": "x"}, "No column holds the e-mail address"),
        ({"to_2": "email"}, "Several columns hold the e-mail address"),
        ({"to_1": "name", "to_2": "name"}, "Several columns hold the name"),
        ({"as_1": " "}, "The attribute has no name"),
        ({"as_1": "email"}, "An attribute can&#39;t be called email"),
        ({"to_2": "attribute", "as_2": "first"}, "Several columns become first"),
        ({"as_1": "<b>" * 100}, "at most 200 characters"),
        ({"to_1": "nonsense"}, "Choose what this column becomes"),
    ],
)
def test_columns_that_make_no_sense_are_asked_for_again(
    house: Sendonce, client: FlaskClient, fields: dict[str, str], words: str
) -> None:
    an_audience(client)
    browser = signed_in(house)
    path = uploaded(browser)

    refused = browser.post_form(path, COLUMNS | fields)

    assert refused.status_code == 422
    assert words in refused.text
    assert "<b><b>" not in refused.text


def test_going_back_finds_the_columns_as_they_were_said(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    browser = signed_in(house)
    path = uploaded(browser)
    checked(browser, path, to_2="name")

    page = browser.get(path).text

    assert re.search(r'name="as_1" value="first"', page)
    assert re.search(r'<select id="to_2".*?value="name" selected', page, re.DOTALL)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty"),
        (b"PK\x03\x04...", "This is a workbook, not CSV"),
        (b"email,email\na,b\n", "two columns"),
    ],
)
def test_a_file_that_can_t_be_read_is_said_at_once_and_not_kept(
    house: Sendonce, client: FlaskClient, content: bytes, words: str
) -> None:
    an_audience(client)

    refused = signed_in(house).post_form(
        "/audiences/1/import", {"file": (io.BytesIO(content), "people.csv")}
    )

    assert refused.status_code == 422
    assert words in refused.text
    assert kept(house) == []


def test_a_form_without_a_file_asks_for_one(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)

    assert "Choose a CSV file" in browser.post_form("/audiences/1/import").text


def test_a_file_that_is_too_large_names_the_command(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.csv"\r\n\r\n'
    body += b"x" * 17 * 1024 * 1024 + b"\r\n--b--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=b"}

    refused = signed_in(house).post_raw("/audiences/1/import", body, **form)

    assert refused.status_code == 413
    assert "python app.py import-recipients" in refused.text


def test_the_name_of_the_file_is_shown_as_text_alone(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)
    file = (io.BytesIO(PEOPLE.encode()), "../x/<b>evil</b>.csv")

    path = browser.post_form("/audiences/1/import", {"file": file}).headers["Location"]

    assert "<strong>b&gt;.csv</strong>" in browser.get(path).text


def test_nobody_to_import_leaves_no_button(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)
    path = uploaded(browser, "E-Mail;Vorname;Notiz\nnobody;;\n")

    check = checked(browser, path)

    assert "There is nobody to import" in check
    assert f"{path}/start" not in check


def test_an_upload_opens_for_its_audience_and_for_editors_alone(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    an_audience(client, name="Other")
    path = uploaded(signed_in(house))
    viewer = signed_in(house, role=Role.VIEWER)

    assert viewer.get(path).status_code == 403
    assert viewer.post_form(f"{path}/start").status_code == 403
    editor = signed_in(house, role=Role.EDITOR)
    assert editor.get(path).status_code == 200
    elsewhere = editor.get(path.replace("/audiences/1/", "/audiences/2/"))
    assert elsewhere.status_code == 404
    assert "Upload it again" in elsewhere.text
    assert editor.get(f"{path}/check").headers["Location"] == path


def test_an_import_that_runs_is_shown_wherever_its_audience_is(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    with house.database.write(durable=False) as tx:
        begun = csv_import.start_import(
            tx,
            1,
            dry_run=False,
            boot_id=aliveness.boot_id(),
            pid=os.getppid(),
            now=house.clock.now(),
        )
    browser = signed_in(house)

    assert "Importing, 0 %" in browser.get("/audiences").text
    assert f"/audiences/1/imports/{begun.id}" in browser.get("/audiences/1").text
    page = browser.get(f"/audiences/1/imports/{begun.id}").text
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "still brings people into this audience" in browser.get("/audiences/1/delete").text
    assert browser.get(f"/audiences/2/imports/{begun.id}").status_code == 404


def test_an_import_whose_process_died_says_what_to_do(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    with house.database.write(durable=False) as tx:
        begun = csv_import.start_import(
            tx, 1, dry_run=False, boot_id="another boot", pid=1, now=house.clock.now()
        )
    browser = signed_in(house)

    page = browser.get(f"/audiences/1/imports/{begun.id}").text

    assert "Import the file again" in page
    assert "Importing, " not in browser.get("/audiences").text


def test_an_import_of_other_columns_than_those_that_were_looked_at_is_refused(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    browser = signed_in(house)
    path = uploaded(browser)
    checked(browser, path)
    button = seen_check(browser, path)
    checked(browser, path)

    answer = browser.post_form(f"{path}/start", button)

    assert answer.status_code == 409
    assert "Nothing was imported" in answer.text
    assert client.get("/api/audiences/1/recipients").json["items"] == []
