"""What is in doubt in a run, in the browser: listed, and decided by a person."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import materialised, put_in_doubt

PEOPLE = ("ann@example.com", "bob@example.com", "cy@example.com")


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


@pytest.fixture
def run(house: Sendonce, client: FlaskClient) -> int:
    """Return a run that is over, with three people in doubt."""
    run_id = materialised(house, client, recipients=PEOPLE)
    put_in_doubt(house, run_id, *PEOPLE)
    return run_id


def read_at(anna: BrowserClient, run_id: int) -> str:
    """Return the time that the list says it was read at."""
    found = re.search(r'name="before" value="([^"]+)"', anna.get(f"/runs/{run_id}/in-doubt").text)
    assert found is not None
    return found[1]


def decide(
    anna: BrowserClient, run_id: int, action: str, *emails: str, before: str | None = None
) -> Any:
    """Send the confirmation's form: about these, or about all."""
    about = {"emails": list(emails)} if emails else {"all": "1"}
    fields = {"action": action, "before": before or read_at(anna, run_id)} | about
    return anna.post_form(f"/runs/{run_id}/in-doubt", fields)


def counts(client: FlaskClient, run_id: int) -> dict[str, int]:
    found: dict[str, int] = client.get(f"/api/runs/{run_id}").json["counts"]
    return found


def test_each_doubt_says_whom_since_when_through_what_and_what_to_look_up(
    anna: BrowserClient, run: int
) -> None:
    page = anna.get(f"/runs/{run}/in-doubt").text

    assert "3 deliveries are in doubt:" in page
    assert "ann@example.com" in page
    assert "Sandbox: the server fell silent" in page
    assert "&lt;1@example.com&gt;" in page
    assert "Mon 2 Mar 08:00:00 UTC" in page
    assert "Decide about all 3…" in page


def test_the_run_and_the_banner_lead_to_the_list(anna: BrowserClient, run: int) -> None:
    assert f'href="/runs/{run}/in-doubt">Review' in anna.get(f"/runs/{run}").text
    assert f'href="/runs/{run}/in-doubt">Look and decide' in anna.get("/campaigns").text


def test_what_is_asked_names_the_people_and_what_it_does(anna: BrowserClient, run: int) -> None:
    asked = f"/runs/{run}/in-doubt/decide?before={read_at(anna, run)}"

    again = anna.get(f"{asked}&action=resend&chosen=1&chosen=3").text
    sent = anna.get(f"{asked}&action=mark-sent&chosen=2").text
    failed = anna.get(f"{asked}&action=mark-failed&all=1").text

    assert "Send again to 2 people</button>" in again
    assert "ann@example.com, cy@example.com." in again
    assert "May reach 2 people twice." in again
    assert again.index("Decide later") < again.index("Send again to 2 people</button>")
    assert "Mark 1 person as sent</button>" in sent
    assert "Mark 3 people as failed</button>" in failed


def test_a_choice_that_is_not_made_is_a_mistake_beside_its_field(
    anna: BrowserClient, run: int
) -> None:
    asked = f"/runs/{run}/in-doubt/decide?before={read_at(anna, run)}"

    nobody = anna.get(f"{asked}&action=mark-sent")
    nothing = anna.get(f"{asked}&chosen=2")

    assert nobody.status_code == nothing.status_code == 422
    assert "Nobody is ticked. Tick whom it is about" in nobody.text
    assert 'value="mark-sent" required aria-describedby="means-mark-sent" checked' in nobody.text
    assert "choose one of the three" in nothing.text
    assert 'value="2" checked' in nothing.text
    assert anna.get(f"{asked}&action=nonsense&all=1").status_code == 422
    assert anna.get(f"/runs/{run}/in-doubt/decide?action=resend&all=1").status_code == 422


def test_each_of_the_three_does_what_it_says_and_is_told_with_who_did_it(
    client: FlaskClient, anna: BrowserClient, run: int
) -> None:
    decide(anna, run, "mark-sent", "ann@example.com")
    decide(anna, run, "mark-failed", "bob@example.com")
    answer = decide(anna, run, "resend")

    assert answer.headers["Location"] == f"/runs/{run}/in-doubt#doubts"
    found = counts(client, run)
    assert (found["sent"], found["failed"], found["queued"], found["in_doubt"]) == (1, 1, 1, 0)
    page = anna.get(f"/runs/{run}/in-doubt").text
    assert "It is sent again to 1 person." in page
    assert "Nothing is in doubt." in page
    assert "<strong>Sent again</strong> (cy@example.com) by admin@example.com" in page
    assert "<strong>Marked as sent</strong> (ann@example.com) by admin@example.com" in page


def test_all_means_all_that_were_in_the_list_when_it_was_read(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client, recipients=PEOPLE)
    put_in_doubt(house, run, "ann@example.com")
    seen = read_at(anna, run)
    house.clock.inner.advance(seconds=5)
    put_in_doubt(house, run, "bob@example.com")

    asked = anna.get(f"/runs/{run}/in-doubt/decide?before={seen}&action=mark-sent&all=1").text
    decide(anna, run, "mark-sent", before=seen)

    assert "Mark 1 person as sent</button>" in asked
    assert counts(client, run)["in_doubt"] == 1
    assert counts(client, run)["sent"] == 1


def test_what_somebody_else_has_decided_meanwhile_is_said(
    client: FlaskClient, anna: BrowserClient, run: int
) -> None:
    seen = read_at(anna, run)
    decide(anna, run, "mark-sent", "ann@example.com")

    decide(anna, run, "mark-failed", "ann@example.com", "bob@example.com", before=seen)
    partly = anna.get(f"/runs/{run}/in-doubt").text
    nothing = decide(anna, run, "mark-failed", "ann@example.com", before=seen)
    asked = anna.get(f"/runs/{run}/in-doubt/decide?before={seen}&action=resend&chosen=1")

    assert "1 delivery marked as failed. 1 was decided meanwhile by somebody else." in partly
    assert nothing.status_code == asked.status_code == 409
    assert "is in doubt any more" in nothing.text
    assert "somebody has decided it meanwhile" in asked.text
    assert counts(client, run)["sent"] == 1


def test_whom_nothing_may_be_sent_to_is_not_counted_and_stays(
    client: FlaskClient, anna: BrowserClient, run: int
) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com"})
    asked = f"/runs/{run}/in-doubt/decide?before={read_at(anna, run)}&action=resend"

    page = anna.get(f"{asked}&all=1").text
    alone = anna.get(f"{asked}&chosen=1")
    decide(anna, run, "resend")

    assert "Send again to 2 people</button>" in page
    assert "1 more can" in page
    assert alone.status_code == 409
    assert "nobody of those you chose can be sent to any more" in alone.text
    assert counts(client, run)["in_doubt"] == 1
    assert "1 can&#39;t be sent to any more and is still in doubt" in (
        anna.get(f"/runs/{run}/in-doubt").text
    )


def test_a_form_that_is_sent_twice_sends_once(
    client: FlaskClient, anna: BrowserClient, run: int
) -> None:
    fields = {
        "action": "resend",
        "before": read_at(anna, run),
        "emails": "ann@example.com",
        "idempotency_key": "a key of this form",
    }

    answers = [anna.post_form(f"/runs/{run}/in-doubt", fields) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert counts(client, run)["queued"] == 1
    decisions = client.get(f"/api/runs/{run}/certificate").json["decisions"]
    assert [made["action"] for made in decisions] == ["resend"]


def test_a_long_list_comes_in_pages(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    people = [f"p{n}@example.com" for n in range(130)]
    run = materialised(house, client, recipients=people)
    put_in_doubt(house, run, *people)

    first = anna.get(f"/runs/{run}/in-doubt").text

    assert first.count('name="chosen"') == 100
    [more] = re.findall(r'href="([^"]+cursor=[^"]+)"', first)
    assert anna.get(more).text.count('name="chosen"') == 30


def test_a_viewer_sees_and_does_not_decide(house: Sendonce, run: int) -> None:
    viewer = signed_in(house, role=Role.VIEWER)

    page = viewer.get(f"/runs/{run}/in-doubt").text

    assert "ann@example.com" in page
    assert 'name="chosen"' not in page
    assert "Decide about" not in page
    assert viewer.get(f"/runs/{run}/in-doubt/decide?all=1").status_code == 403
    fields = {"action": "mark-sent", "all": "1", "before": "2026-03-02T08:00:00Z"}
    assert viewer.post_form(f"/runs/{run}/in-doubt", fields).status_code == 403


def test_bad_input_is_refused_and_no_run_is_not_found(anna: BrowserClient, run: int) -> None:
    path = f"/runs/{run}/in-doubt"

    assert anna.post_form(path, {"action": "mark-sent", "all": "1"}).status_code == 422
    assert decide(anna, run, "cancel").status_code == 422
    assert decide(anna, run, "mark-sent", "no address").status_code == 422
    assert anna.get("/runs/999/in-doubt").status_code == 404
    assert anna.get("/runs/999/in-doubt/decide?action=resend&all=1").status_code in (404, 422)
