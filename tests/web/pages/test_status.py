import pytest

from accounts import store as accounts
from assembly import Sendonce
from foundation import machine
from identity.model import Role
from scheduler.thread import step
from storage import aliveness
from tests.house import app_of, bearer
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_schedule, an_account
from web.checks import Check, Look, look_around


@pytest.fixture
def viewer(house: Sendonce) -> BrowserClient:
    return signed_in(house, role=Role.VIEWER)


def led_by_another(house: Sendonce) -> None:
    now = house.clock.now()
    with house.database.write(durable=False) as tx:
        epoch = aliveness.raise_epoch(tx, boot_id=None, machine_id=None, pid=4711, now=now)
        aliveness.note_tick(tx, epoch, now)


def found(house: Sendonce, what: str) -> Check:
    with app_of(house).test_request_context():
        [check] = [c for c in look_around(house, house.clock.now()) if c.what == what]
    return check


def through_the_api(house: Sendonce) -> object:
    client = app_of(house).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
    return client


def test_who_leads_is_said(house: Sendonce, viewer: BrowserClient) -> None:
    led_by_another(house)
    by_another = viewer.get("/status").text
    step(house.scheduler, house.leader)
    by_this_one = viewer.get("/status").text

    assert "Process 4711 leads; this one" in by_another
    assert ") leads." in by_this_one
    assert "<strong data-word>Running</strong>" in by_this_one


def test_a_scheduler_that_stopped_is_wrong_and_says_what_to_do(
    house: Sendonce, viewer: BrowserClient
) -> None:
    led_by_another(house)
    house.clock.inner.advance(seconds=180)

    page = viewer.get("/status").text

    assert found(house, "Scheduler").look is Look.BAD
    assert "Process 4711 led last. Its last tick was 3 min ago." in page
    assert "Nothing is sent until it ticks; nothing is lost meanwhile." in page
    assert "Start the server again with python app.py." in page


def test_a_slot_that_waits_too_long_is_told(house: Sendonce) -> None:
    schedule = a_schedule(through_the_api(house))
    none = found(house, "Due slots")
    until_due = house.store.read()[0].next_run - house.clock.now()
    house.clock.inner.advance(seconds=until_due.total_seconds() + 5)
    due = found(house, "Due slots")
    house.clock.inner.advance(minutes=5)
    late = found(house, "Due slots")

    assert (none.look, none.says) == (Look.OK, "None waits.")
    assert (due.look, "can still be taken back" in due.says) == (Look.OK, True)
    assert (late.look, late.path) == (Look.WARN, f"/automation/{schedule['id']}")


def test_an_account_that_does_not_work_is_told(house: Sendonce, viewer: BrowserClient) -> None:
    account = an_account(through_the_api(house), name="<Relay>")
    with house.database.write(durable=False) as tx:
        accounts.pause(tx, account["id"], "535 5.7.8 Authentication failed")

    page = viewer.get("/status").text

    assert "Account &lt;Relay&gt;" in page
    assert "It is paused: 535 5.7.8 Authentication failed" in page
    assert f'href="/accounts/{account["id"]}"' in page


def test_a_disk_that_is_nearly_full_is_told(
    house: Sendonce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_DISK_LOW", 2**60)
    low = found(house, "Disk")
    monkeypatch.setattr(machine, "_DISK_FULL", 2**60)
    full = found(house, "Disk")

    assert (low.look, low.todo) == (Look.WARN, "Make room soon.")
    assert (full.look, full.todo) == (Look.BAD, "Make room now.")


def test_what_was_mended_in_the_schedule_file_is_shown_with_both_texts(
    house: Sendonce, viewer: BrowserClient
) -> None:
    a_schedule(through_the_api(house))
    step(house.scheduler, house.leader)
    (house.settings.data_dir / "scheduled_campaigns.json").write_bytes(b"[]")
    step(house.scheduler, house.leader)

    page = viewer.get("/status").text

    assert "was taken out of scheduled_campaigns.json" in page
    assert "&#34;kept&#34;" in page
    assert "1 thing in it stood out in the last 7 days" in page


def test_numbers_are_by_status(house: Sendonce, viewer: BrowserClient) -> None:
    a_schedule(through_the_api(house))

    page = viewer.get("/status").text

    assert '<a href="/automation">Schedules</a>' in page
    assert "Pending</span>1" in page


def test_a_schedule_file_that_can_not_be_read_does_not_keep_the_page_from_being_shown(
    house: Sendonce, viewer: BrowserClient
) -> None:
    path = house.settings.data_dir / "scheduled_campaigns.json"
    path.unlink(missing_ok=True)
    path.mkdir()

    page = viewer.get("/status")

    assert page.status_code == 200
    assert found(house, "Schedule file").look is Look.BAD


def test_the_status_is_for_those_who_may_come_in(house: Sendonce) -> None:
    assert app_of(house).test_client().get("/status").status_code == 401
