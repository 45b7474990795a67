"""What a rule's text may say, and the sentence for each thing that it may not."""

from datetime import UTC, datetime

import pytest

from foundation.errors import Invalid
from scheduler.rules import Freq, parse_rule


def refusal(text: str) -> str:
    with pytest.raises(Invalid) as refused:
        parse_rule(text)
    assert {error.field for error in refused.value.errors} == {"rrule"}
    return " ".join(error.message for error in refused.value.errors)


def test_every_part_of_a_rule_is_read() -> None:
    rule = parse_rule(
        "FREQ=MONTHLY;INTERVAL=2;UNTIL=20301231T235959Z;WKST=SU;BYMONTH=1,12;BYDAY=1MO,-1FR"
        ";BYHOUR=9,8;BYMINUTE=30;BYSECOND=5;BYSETPOS=-1"
    )

    assert rule.freq is Freq.MONTHLY
    assert rule.interval == 2
    assert rule.until == datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert rule.wkst == 6
    assert rule.bymonth == (1, 12)
    assert rule.byday == ((0, 1), (4, -1))
    assert rule.byhour == (8, 9)
    assert (rule.byminute, rule.bysecond, rule.bysetpos) == ((30,), (5,), (-1,))
    assert rule.bymonthday == rule.byyearday == rule.byweekno == ()


@pytest.mark.parametrize(
    "text",
    [
        "freq=weekly;byday=mo",
        "RRULE:FREQ=WEEKLY;BYDAY=MO",
        "  rrule:FREQ=WEEKLY;BYDAY=MO;  ",
        "FREQ=WEEKLY;INTERVAL=1;WKST=MO;BYDAY=MO,MO\n",
    ],
)
def test_a_rule_may_be_written_in_several_ways(text: str) -> None:
    assert parse_rule(text) == parse_rule("FREQ=WEEKLY;BYDAY=MO")


def test_an_until_without_z_is_wall_clock_time_and_a_date_is_the_end_of_that_day() -> None:
    assert parse_rule("FREQ=DAILY;UNTIL=20301231T120000").until == datetime(2030, 12, 31, 12)
    assert parse_rule("FREQ=DAILY;UNTIL=20301231").until == datetime(2030, 12, 31, 23, 59, 59)


def test_an_until_beyond_the_horizon_is_no_end() -> None:
    assert parse_rule("FREQ=DAILY;UNTIL=99991231T235959Z").until is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("every monday", "no NAME=VALUE"),
        ("INTERVAL=2", "has no FREQ"),
        ("FREQ=", "no NAME=VALUE"),
        ("FREQ=FORTNIGHTLY", "use one of YEARLY, MONTHLY"),
        ("FREQ=SECONDLY", "the shortest step is a minute"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0: it must be a number from 1 to 36500"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1"),
        ("FREQ=DAILY;INTERVAL=1.5", "INTERVAL=1.5"),
        ("FREQ=DAILY;INTERVAL=\u0661", "INTERVAL=\u0661"),
        ("FREQ=DAILY;INTERVAL=1_0", "INTERVAL=1_0"),
        ("FREQ=YEARLY;INTERVAL=101", "from 1 to 100"),
        ("FREQ=MINUTELY;INTERVAL=" + "9" * 300, "from 1 to"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0"),
        ("FREQ=DAILY;COUNT=10001", "leave it out and set an end"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20301231", "both COUNT and UNTIL"),
        ("FREQ=DAILY;COUNT=3;UNTIL=99991231", "both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=2030-12-31", "write it as 20261231T235959Z"),
        ("FREQ=DAILY;UNTIL=20300231", "UNTIL=20300231"),
        ("FREQ=DAILY;UNTIL=20301231T250000", "UNTIL=20301231T250000"),
        ("FREQ=DAILY;UNTIL=00010101T000000Z", "UNTIL=00010101T000000Z"),
        ("FREQ=DAILY;UNTIL=TOMORROW", "UNTIL=TOMORROW"),
        ("FREQ=DAILY;FREQ=WEEKLY", "more than one rule"),
        ("FREQ=DAILY;BYHOUR=9;BYHOUR=10", "has BYHOUR twice"),
        ("FREQ=DAILY;BYHOUR=25", "25 in BYHOUR: it must be from 0 to 23"),
        ("FREQ=DAILY;BYHOUR=-1", "-1 in BYHOUR"),
        ("FREQ=DAILY;BYMINUTE=60", "60 in BYMINUTE"),
        ("FREQ=DAILY;BYSECOND=60", "60 in BYSECOND"),
        ("FREQ=DAILY;BYHOUR=9,,10", "'' in BYHOUR"),
        ("FREQ=YEARLY;BYMONTH=13", "13 in BYMONTH"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "(but not 0)"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "32 in BYMONTHDAY"),
        ("FREQ=YEARLY;BYYEARDAY=367", "367 in BYYEARDAY"),
        ("FREQ=YEARLY;BYWEEKNO=54;BYDAY=MO", "54 in BYWEEKNO"),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO", "use -1 for the last week"),
        ("FREQ=YEARLY;BYWEEKNO=20", "BYWEEKNO without BYDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=20;BYDAY=MO", "BYWEEKNO with FREQ=MONTHLY"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO", "beside BYWEEKNO"),
        ("FREQ=DAILY;BYYEARDAY=100", "BYYEARDAY with FREQ=DAILY"),
        ("FREQ=WEEKLY;BYMONTHDAY=13", "BYMONTHDAY with FREQ=WEEKLY"),
        ("FREQ=WEEKLY;BYDAY=MONDAY", "'MONDAY' in BYDAY"),
        ("FREQ=WEEKLY;BYDAY=", "no NAME=VALUE"),
        ("FREQ=DAILY;BYDAY=2MO", "numbers weekdays in BYDAY=2MO"),
        ("FREQ=WEEKLY;BYDAY=-1FR", "numbers weekdays"),
        ("FREQ=MONTHLY;BYDAY=6MO", "use at most 5"),
        ("FREQ=YEARLY;BYMONTH=12;BYDAY=53MO", "use at most 5"),
        ("FREQ=YEARLY;BYDAY=54MO", "'54MO' in BYDAY"),
        ("FREQ=YEARLY;BYDAY=0MO", "'0MO' in BYDAY"),
        ("FREQ=WEEKLY;WKST=XX", "WKST=XX"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "0 in BYSETPOS"),
        ("FREQ=MONTHLY;BYSETPOS=1", "nothing to choose from"),
        ("FREQ=HOURLY;BYMINUTE=0,30;BYSETPOS=1", "supported from FREQ=DAILY on"),
        ("FREQ=DAILY;BYSECOND=0,30", "at least a minute apart"),
        ("FREQ=MINUTELY;BYSECOND=0,59", "at least a minute apart"),
        ("FREQ=MONTHLY;BYMONTHDAY=31;SKIP=BACKWARD", "(RFC 7529), which is not supported"),
        ("RSCALE=GREGORIAN;FREQ=MONTHLY", "already moves to the last day of shorter months"),
        ("FREQ=YEARLY;BYEASTER=0", "BYEASTER, which is not a part of a rule"),
        ("FREQ=DAILY;X-FOO=1", "X-FOO, which is not a part"),
        ("FREQ=DAILY;TZID=Europe/Berlin", "TZID, which is not a part"),
        ("DTSTART:20260101T090000\nRRULE:FREQ=DAILY", "has DTSTART: give the rule alone"),
        ("FREQ=DAILY;DTSTART=20260101T090000", "has DTSTART"),
        ("RRULE:FREQ=DAILY\nEXDATE:20260102T090000", "has EXDATE"),
        ("RDATE:20260102T090000", "has RDATE"),
        ("FREQ=DAILY\nFREQ=WEEKLY", "more than one rule"),
        ("RRULE:FREQ=DAILY RRULE:FREQ=WEEKLY", "more than one rule"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "no month in BYMONTH=2 has a day BYMONTHDAY=30"),
        ("FREQ=DAILY;BYMONTH=4,6;BYMONTHDAY=31,-31", "no month in BYMONTH=4,6"),
        (
            "FREQ=DAILY;BYHOUR=" + ",".join(map(str, range(24)))
            + ";BYMINUTE=" + ",".join(map(str, range(13))),
            "more than 288 times a day",
        ),
        ("FREQ=DAILY;" * 60, "660 characters long"),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused_with_a_sentence(text: str, says: str) -> None:
    assert says in refusal(text)


def test_everything_that_is_wrong_with_a_rule_is_said_at_once() -> None:
    sentences = refusal("FREQ=SECONDLY;INTERVAL=0;BYHOUR=25;BYDAY=XX")

    for part in ("FREQ=SECONDLY", "INTERVAL=0", "25 in BYHOUR", "'XX' in BYDAY"):
        assert part in sentences
