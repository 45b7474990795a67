"""The campaign's rule that sends doubts again: once, and a repeat ends as sent or in doubt and as nothing else."""

from pathlib import Path

import pytest

from campaigns.model import InDoubtRule
from delivery.leases import Leased
from delivery.outcome import Failed, InDoubt, NotBegun, Sent, TryAgain
from tests.delivery.builders import (
    RETRY_DELAY,
    Books,
    a_reply,
    books,
    one_leased,
)

SENT = Sent(a_reply(250, "queued as 1"))
REFUSED = Failed(a_reply(550, "5.1.1 nobody here"), "the server refused the recipient")


class TestARuleThatSendsDoubtsAgain:
    """A repeat: once, through the same account, and it never ends as anything but sent or in doubt."""

    def test_a_doubt_is_queued_once_more(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)

            b.record(item, InDoubt("the server closed"), begun=True)

            found = b.delivery(run_id)
            assert (found.status, found.next_attempt_at) == ("queued", b.now + RETRY_DELAY)
            assert "sent again by the campaign's rule" in (found.reason or "")

    def test_a_second_doubt_is_held(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)
            b.begin(again)

            b.record(again, InDoubt("the server closed"), begun=True)

            assert b.statuses(run_id) == {"in_doubt": 1}
            assert b.delivery(run_id).attempts == 2

    def test_it_goes_through_the_account_of_its_first_try(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)
            b.record(item, InDoubt("gone"), begun=True)
            other = b.account(name="Other")
            b.later(minutes=1)

            assert b.lease(run_id, other) == []
            [again] = b.lease(run_id, b.first_account())

            assert again.id == item.id

    def test_it_keeps_its_message_id(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            _, first, again = a_repeat(b)

            assert again.is_repeat
            assert again.message_id == f"<{first.id}@test>"

    def test_its_refusal_leaves_the_first_try_in_doubt(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)

            b.record(again, REFUSED, begun=False)

            found = b.delivery(run_id)
            assert (found.status, found.smtp_code) == ("in_doubt", 550)
            assert (found.reason or "").startswith("in doubt; sent again, and this time: ")

    @pytest.mark.parametrize("stop", ["cancel", "suppress", "remove"])
    def test_a_stop_leaves_the_first_try_in_doubt(self, tmp_path: Path, stop: str) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)
            b.record(item, InDoubt("gone"), begun=True)
            b.later(minutes=1)
            {
                "cancel": lambda: b.cancel(run_id),
                "suppress": lambda: b.suppress(item.email),
                "remove": lambda: b.remove(1, item.email),
            }[stop]()

            assert b.lease(run_id, b.first_account()) == []

            assert b.statuses(run_id) == {"in_doubt": 1}

    @pytest.mark.parametrize("stop", ["cancel", "suppress", "remove"])
    def test_a_stop_after_its_lease_leaves_the_first_try_in_doubt(
        self, tmp_path: Path, stop: str
    ) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)
            {
                "cancel": lambda: b.cancel(run_id),
                "suppress": lambda: b.suppress(again.email),
                "remove": lambda: b.remove(1, again.email),
            }[stop]()

            assert not b.begin(again)
            b.record(again, NotBegun(), begun=False)

            assert b.statuses(run_id) == {"in_doubt": 1}

    def test_being_put_off_it_still_says_that_it_is_one(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)

            b.record(again, TryAgain(a_reply(451), b.now), begun=False)

            assert b.statuses(run_id) == {"queued": 1}
            assert (b.delivery(run_id).reason or "").startswith("in doubt")

    def test_a_doubt_of_a_cancelled_run_is_held(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)
            b.cancel(run_id)

            b.record(item, InDoubt("gone"), begun=True)

            assert b.statuses(run_id) == {"in_doubt": 1}


def a_repeat(b: Books) -> tuple[int, Leased, Leased]:
    """Make a run whose one delivery was in doubt and is leased again; return it, the first lease and the second."""
    run_id, first = one_leased(b, in_doubt=InDoubtRule.RESEND)
    b.begin(first)
    b.record(first, InDoubt("gone"), begun=True)
    b.later(minutes=1)
    [again] = b.lease(run_id, b.first_account())
    return run_id, first, again
