"""The benchmarks run, and say what has become worse. Nothing here is about how fast anything is."""

import json
import smtplib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.baseline import Comparison, compare, load, save
from benchmarks.catalogue import IN_PROCESS
from benchmarks.figure import Better
from benchmarks.mail_server import a_mail_server
from benchmarks.runner import Result, run
from benchmarks.sizes import QUICK

TINY = replace(
    QUICK, rounds=1, calls=5, leased=10, schedules=(3,), due=3, csv_rows=10, recipients=10
)


def test_every_benchmark_finds_something() -> None:
    said: list[str] = []

    results = run(IN_PROCESS, TINY, repeats=1, say=said.append)

    assert len(said) == len(IN_PROCESS)
    assert len(results) >= len(IN_PROCESS)
    assert all(r.value > 0 and r.ratio > 0 for r in results)


@pytest.mark.parametrize(
    ("better", "ratio", "is_worse"),
    [
        (Better.LESS, 1.2, False),
        (Better.LESS, 1.3, True),
        (Better.LESS, 0.3, False),
        (Better.MORE, 0.85, False),
        (Better.MORE, 0.7, True),
        (Better.MORE, 3.0, False),
    ],
)
def test_a_figure_that_got_worse_by_more_than_a_quarter_is_marked(
    better: Better, ratio: float, is_worse: bool
) -> None:
    [found] = compare([a_result(better=better, ratio=ratio)], {"render": 1.0})

    assert found.is_worse is is_worse
    assert found.change == pytest.approx(ratio - 1)


def test_a_figure_without_a_baseline_is_not_worse() -> None:
    assert compare([a_result()], {}) == [
        Comparison(result=a_result(), before=None, change=None, is_worse=False)
    ]


def test_a_single_missing_message_is_worse_whatever_the_baseline_says() -> None:
    missing = a_result(name="missing", better=Better.NONE, value=1)

    assert missing.is_wrong
    assert [c.is_worse for c in compare([missing], {"missing": 1.0})] == [True]


def test_saving_some_figures_keeps_the_others(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    save(file, "full", [a_result(name="a"), a_result(name="b")])
    save(file, "quick", [a_result(name="a", ratio=9)])

    save(file, "full", [a_result(name="b", ratio=3)])

    assert load(file, "full") == {"a": 1.0, "b": 3.0}
    assert load(file, "quick") == {"a": 9.0}


def test_the_command_ends_with_1_where_something_is_worse(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    asked = ["--quick", "--only", "recurrence", "--repeats", "1"]

    saved = CliRunner().invoke(main, [*asked, "--save-baseline", str(file)])
    kept = json.loads(file.read_text())
    kept["quick"]["figures"]["next slot, daily"]["ratio"] /= 1_000_000
    file.write_text(json.dumps(kept))
    compared = CliRunner().invoke(main, [*asked, "--compare", str(file), "--tolerance", "500"])

    assert saved.exit_code == 0, saved.output
    assert compared.exit_code == 1
    assert [line.split()[3] for line in compared.output.splitlines() if "WORSE" in line] == [
        "daily"
    ]


@pytest.mark.processes
@pytest.mark.parametrize("round_trip_ms", [0, 1])
def test_the_counting_mail_server_sees_who_got_two_and_who_got_none(round_trip_ms: int) -> None:
    with (
        a_mail_server(round_trip_ms=round_trip_ms) as server,
        smtplib.SMTP("127.0.0.1", server.port, local_hostname="localhost") as client,
    ):
        for to in ("ann@example.com", "bob@example.com", "bob@example.com"):
            client.sendmail("news@sender.example", [to], "Subject: Hello\r\n\r\n.\r\n")

    addresses = ("ann@example.com", "bob@example.com", "eve@example.com")
    assert server.miscounted(iter(addresses)) == (1, 1)


def a_result(**changes: object) -> Result:
    result = Result(
        name="render", value=1.0, unit="us", against="yardstick", ratio=1.0, better=Better.LESS
    )
    return replace(result, **changes)
