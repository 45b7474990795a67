"""What a server's answer means for the recipient and for the account."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.outcome import (
    AccountFault,
    Failed,
    InDoubt,
    NotBegun,
    Outcome,
    Patience,
    Sent,
    TryAgain,
    backoff,
    judge,
    rest_after,
)
from mail.reply import Answer, Broken, Reply, Stage, Withdrawn
from tests.builders import NOON

PATIENCE = Patience(retry_delay=timedelta(minutes=1), give_up_after=timedelta(days=3))
BEFORE_MAIL = (Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.TLS, Stage.AUTH)


def judged(answer: Answer, **changes: object) -> Outcome:
    given: dict[str, object] = {
        "attempts": 1,
        "first_attempt_at": NOON,
        "now": NOON,
        "patience": PATIENCE,
        "roll": 0.5,
    }
    return judge(answer, **(given | changes))  # type: ignore[arg-type]


def reply(stage: Stage, code: int, text: str = "so it is") -> Reply:
    return Reply(stage=stage, code=code, text=text)


@pytest.mark.parametrize("stage", BEFORE_MAIL)
@pytest.mark.parametrize("code", [400, 421, 450, 454, 500, 502, 530, 552, 554, 555])
def test_whatever_a_server_refuses_before_mail_is_the_account_s_fault(
    stage: Stage, code: int
) -> None:
    outcome = judged(reply(stage, code))

    assert outcome == AccountFault(reply(stage, code), pause=stage == Stage.AUTH and code >= 500)


@pytest.mark.parametrize("stage", [*BEFORE_MAIL, Stage.MAIL])
def test_a_break_before_the_server_has_taken_the_sender_is_the_account_s_fault(
    stage: Stage,
) -> None:
    broken = Broken(stage=stage, detail="refused")

    assert judged(broken) == AccountFault(broken, pause=False)


@pytest.mark.parametrize("code", [421, 500, 530, 550, 553, 554])
def test_a_421_or_5xx_to_mail_is_the_account_s_fault(code: int) -> None:
    assert isinstance(judged(reply(Stage.MAIL, code, "5.7.1 not you")), AccountFault)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (552, "too big"),
        (555, "MAIL FROM parameters not recognized"),
        (553, "5.6.7 The server does not take SMTPUTF8 addresses"),
        (550, "5.6.7 Non-ASCII addresses not permitted"),
        (554, "5.3.4 Message size exceeds fixed limit"),
        (550, "smtputf8 is needed for this address"),
    ],
)
def test_a_5xx_to_mail_that_speaks_of_the_message_is_the_message_s(code: int, text: str) -> None:
    assert isinstance(judged(reply(Stage.MAIL, code, text)), Failed)


@pytest.mark.parametrize("code", [400, 450, 451, 452, 499])
def test_another_4xx_to_mail_is_put_off(code: int) -> None:
    assert isinstance(judged(reply(Stage.MAIL, code)), TryAgain)


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.END_GIVEN])
@pytest.mark.parametrize("code", [400, 421, 450, 451, 452, 499])
def test_a_4xx_from_rcpt_on_is_put_off(stage: Stage, code: int) -> None:
    outcome = judged(reply(stage, code))

    assert outcome == TryAgain(reply(stage, code), NOON + timedelta(minutes=1))


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.END_GIVEN])
@pytest.mark.parametrize("code", [500, 521, 550, 552, 554, 555, 571, 599])
def test_a_5xx_from_rcpt_on_is_final(stage: Stage, code: int) -> None:
    outcome = judged(reply(stage, code))

    assert isinstance(outcome, Failed)
    assert outcome.reply == reply(stage, code)
    assert not outcome.gave_up


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.CONTENT])
def test_a_break_before_the_end_of_the_content_was_given_is_put_off(stage: Stage) -> None:
    assert isinstance(judged(Broken(stage=stage, detail="gone")), TryAgain)


def test_a_break_after_the_end_of_the_content_was_given_is_a_doubt() -> None:
    assert judged(Broken(stage=Stage.END_GIVEN, detail="gone")) == InDoubt("gone")


@pytest.mark.parametrize("code", [200, 250, 251, 299])
def test_a_2xx_to_the_final_dot_means_sent(code: int) -> None:
    assert judged(reply(Stage.END_GIVEN, code)) == Sent(reply(Stage.END_GIVEN, code))


def test_what_our_own_fence_stopped_is_not_begun() -> None:
    assert judged(Withdrawn()) == NotBegun()


def test_only_the_reply_to_the_final_dot_can_mean_sent() -> None:
    others = set(Stage) - {Stage.END_GIVEN}

    assert not any(isinstance(judged(reply(stage, 250)), Sent) for stage in others)


@pytest.mark.parametrize(
    "answer", [reply(Stage.RCPT, 450, "later"), Broken(stage=Stage.DATA, detail="gone")]
)
def test_one_that_was_only_ever_put_off_is_given_up_in_the_end(answer: Reply | Broken) -> None:
    last = judged(answer, attempts=40, now=NOON + PATIENCE.give_up_after)
    one_before = judged(
        answer, attempts=39, now=NOON + PATIENCE.give_up_after - timedelta(seconds=1)
    )

    assert isinstance(last, Failed)
    assert last.gave_up
    assert last.reason.startswith("gave up after 40 tries; the last: ")
    assert isinstance(one_before, TryAgain)


def test_the_account_s_faults_never_use_up_a_recipient_s_patience() -> None:
    outcome = judged(reply(Stage.BANNER, 421), now=NOON + 10 * PATIENCE.give_up_after)

    assert isinstance(outcome, AccountFault)


@given(
    attempts=st.integers(1, 10_000),
    retry_delay=st.timedeltas(timedelta(seconds=1), timedelta(hours=3)),
    roll=st.floats(0, 1),
)
def test_a_delay_doubles_up_to_an_hour_give_or_take_a_fifth(
    attempts: int, retry_delay: timedelta, roll: float
) -> None:
    delay = backoff(attempts, retry_delay, roll)

    doubled = min(retry_delay * 2 ** min(attempts - 1, 30), max(timedelta(hours=1), retry_delay))
    assert 0.8 * doubled - timedelta(seconds=1) <= delay <= 1.2 * doubled + timedelta(seconds=1)


@given(attempts=st.integers(1, 100), roll=st.floats(0, 1))
def test_a_later_delay_is_never_much_shorter(attempts: int, roll: float) -> None:
    delay = timedelta(minutes=1)

    assert backoff(attempts + 1, delay, roll) >= backoff(attempts, delay, roll)


def test_an_account_rests_a_second_and_twice_as_long_each_time_up_to_a_quarter_of_an_hour() -> None:
    rests = [rest_after(faults).total_seconds() for faults in (1, 2, 3, 4, 10, 11, 500)]

    assert rests == [1, 2, 4, 8, 512, 900, 900]


@given(
    answer=st.one_of(
        st.builds(
            Reply,
            stage=st.sampled_from(Stage),
            code=st.integers(200, 599),
            text=st.text(max_size=20),
        ),
        st.builds(Broken, stage=st.sampled_from(Stage), detail=st.text(max_size=20)),
        st.just(Withdrawn()),
    ),
    attempts=st.integers(1, 1000),
    waited=st.timedeltas(timedelta(0), timedelta(days=10)),
    roll=st.floats(0, 1),
)
def test_every_answer_has_one_meaning(
    answer: Answer, attempts: int, waited: timedelta, roll: float
) -> None:
    outcome = judged(answer, attempts=attempts, now=NOON + waited, roll=roll)

    at_the_end = isinstance(answer, Reply | Broken) and answer.stage == Stage.END_GIVEN
    code = answer.code if isinstance(answer, Reply) else None
    assert isinstance(outcome, Sent) == (at_the_end and code in range(200, 300))
    assert isinstance(outcome, InDoubt) == (at_the_end and code in (None, *range(300, 400)))
