from datetime import UTC, datetime
from pathlib import Path

from mail.outbox import delete_up_to, read_bytes
from mail.outbox_index import OutboxCount, OutboxIndex
from mail.sandbox import Maildir
from tests.fake_clock import FakeClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def an_index(outbox: Path, clock: FakeClock | None = None) -> OutboxIndex:
    return OutboxIndex(outbox, clock or FakeClock(NOON))


def keep(
    outbox: Path,
    *,
    to: str = "ann@example.com",
    run: int | None = 1,
    subject: str = "News",
    message_id: str = "<1@example.com>",
) -> int:
    head = f"Subject: {subject}\r\nMessage-ID: {message_id}\r\n"
    head += f"X-Sendonce-Run: {run}\r\n" if run is not None else ""
    content = f"{head}\r\nHello".encode()
    return Maildir(outbox, FakeClock(NOON)).deliver("news@example.com", [to], content)


def ids(index: OutboxIndex, q: str | None = None, run_id: int | None = None) -> list[int]:
    return [item.id for item in index.find(q=q, run_id=run_id, before=None, limit=50)]


def looked(outbox: Path, *, read: int = 1000) -> OutboxIndex:
    index = an_index(outbox)
    index.look(read=read)
    return index


def test_everybody_once_is_no_duplicate(tmp_path: Path) -> None:
    keep(tmp_path, to="ann@example.com")
    keep(tmp_path, to="bob@example.com")

    assert looked(tmp_path).count(run_id=None) == OutboxCount(
        messages=2, people=2, duplicates=0, twice=(), looked_at=2, total=2, can_go_on=False
    )


def test_two_mails_of_one_run_to_one_person_are_a_duplicate(tmp_path: Path) -> None:
    keep(tmp_path, message_id="<1@example.com>")
    keep(tmp_path, message_id="<2@example.com>", to="ANN@example.com")
    keep(tmp_path, run=2)

    index = looked(tmp_path)

    all_of_them, of_run_2 = index.count(run_id=None), index.count(run_id=2)
    assert (all_of_them.duplicates, all_of_them.twice) == (1, ("ann@example.com",))
    assert (all_of_them.messages, all_of_them.people) == (3, 1)
    assert (of_run_2.messages, of_run_2.duplicates) == (1, 0)


def test_tests_are_told_apart_by_their_message_id(tmp_path: Path) -> None:
    keep(tmp_path, run=None, message_id="<1@example.com>")
    keep(tmp_path, run=None, message_id="<2@example.com>")
    once = looked(tmp_path).count(run_id=None)
    keep(tmp_path, run=None, message_id="<2@example.com>")

    assert once.duplicates == 0
    assert looked(tmp_path).count(run_id=None).duplicates == 1


def test_a_recipient_is_who_the_envelope_names(tmp_path: Path) -> None:
    content = b"Delivered-To: bob@example.com\r\nX-Sendonce-Run: 1\r\n\r\n"
    Maildir(tmp_path, FakeClock(NOON)).deliver("a@example.com", ["ann@example.com"], content)
    Maildir(tmp_path, FakeClock(NOON)).deliver("a@example.com", ["bob@example.com"], content)

    assert looked(tmp_path).count(run_id=1).duplicates == 0


def test_a_count_that_was_cut_off_says_so_and_goes_on_at_the_next_look(tmp_path: Path) -> None:
    for _ in range(5):
        keep(tmp_path)
    index = looked(tmp_path, read=2)

    first = index.count(run_id=None)
    index.look(read=2)
    second = index.count(run_id=None)
    index.look(read=2)
    third = index.count(run_id=None)

    assert [(c.looked_at, c.can_go_on) for c in (first, second, third)] == [
        (2, True),
        (4, True),
        (5, False),
    ]
    assert first.total == 5


def test_what_would_not_be_all_is_not_begun_where_all_or_nothing_is_wanted(tmp_path: Path) -> None:
    for _ in range(5):
        keep(tmp_path)
    index = an_index(tmp_path)

    index.look(read=4, or_nothing=True)
    nothing = index.count(run_id=None).looked_at
    index.look(read=5, or_nothing=True)

    assert (nothing, index.count(run_id=None).looked_at) == (0, 5)


def test_a_list_needs_no_count(tmp_path: Path) -> None:
    kept = [keep(tmp_path) for _ in range(3)]

    assert ids(looked(tmp_path, read=0)) == kept[::-1]


def test_what_comes_and_goes_is_seen(tmp_path: Path) -> None:
    first = keep(tmp_path)
    index = looked(tmp_path)
    second = keep(tmp_path, run=2)
    index.look()
    both = ids(index), index.count(run_id=2).messages
    (tmp_path / "new" / str(second)).unlink()
    index.look()

    assert both == ([second, first], 1)
    assert ids(index) == [first]
    assert index.count(run_id=2).messages == 0


def test_what_comes_after_a_quiet_time_is_seen(tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    index = an_index(tmp_path, clock)
    keep(tmp_path)
    for _ in range(4):
        index.look()
        clock.advance(seconds=3)
    second = keep(tmp_path)
    index.look()

    assert ids(index)[0] == second


def test_a_run_s_and_a_search_s_messages_are_found(tmp_path: Path) -> None:
    first = keep(tmp_path, run=1, subject="Gr=?utf-8?q?=C3=BC?=")
    second = keep(tmp_path, run=1, subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?=", to="zoe@example.com")
    third = keep(tmp_path, run=2, subject="Offer", to="zoe@example.com")
    index = looked(tmp_path)

    assert ids(index, run_id=1) == [second, first]
    assert ids(index, q=" GRÜSSE ") == [second]
    assert ids(index, q="zoe@") == [third, second]
    assert ids(index, q="zoe@", run_id=2) == [third]
    assert ids(index, q="nothing") == []


def test_pages_go_from_the_newest_to_the_oldest(tmp_path: Path) -> None:
    kept = [keep(tmp_path) for _ in range(4)]
    index = looked(tmp_path)

    page = index.find(q=None, run_id=None, before=kept[2], limit=1)

    assert [item.id for item in page] == [kept[1]]


def test_a_message_knows_its_neighbours(tmp_path: Path) -> None:
    kept = [keep(tmp_path, run=run) for run in (1, 2, 1)]
    index = looked(tmp_path)

    assert index.neighbours(kept[1], run_id=None) == (kept[2], kept[0])
    assert index.neighbours(kept[2], run_id=1) == (None, kept[0])
    assert index.neighbours(kept[0], run_id=None) == (kept[1], None)


def test_what_can_not_be_read_is_not_counted(tmp_path: Path) -> None:
    kept = keep(tmp_path)
    (tmp_path / "new" / str(kept + 1)).symlink_to(tmp_path / "gone")

    count = looked(tmp_path).count(run_id=None)

    assert (count.messages, count.total, count.can_go_on) == (1, 1, False)


def test_an_outbox_that_is_not_there_is_empty(tmp_path: Path) -> None:
    index = looked(tmp_path / "outbox")

    assert (index.newest(), ids(index)) == ((None, 0), [])
    assert index.count(run_id=None).total == 0


def test_what_came_after_the_question_is_not_deleted(tmp_path: Path) -> None:
    kept = [keep(tmp_path) for _ in range(3)]
    (tmp_path / "new" / "notes.txt").write_text("mine")

    deleted = delete_up_to(tmp_path, kept[1])

    assert deleted == 2
    assert ids(looked(tmp_path)) == [kept[2]]
    assert (tmp_path / "new" / "notes.txt").exists()


def test_the_file_is_given_as_it_is(tmp_path: Path) -> None:
    content = b"Subject: \xff\r\n\r\n\x00binary"
    kept = Maildir(tmp_path, FakeClock(NOON)).deliver("a@b.de", ["c@d.de"], content)

    assert read_bytes(tmp_path, kept).endswith(content)
