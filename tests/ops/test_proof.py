"""The printed proof: sentences that a newcomer understands, and a status that says whether it holds."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import cli
from delivery.certificate import Check
from foundation.clock import SystemClock
from ops.proof import lines_of, proof
from tests.delivery.builders import Books, books
from tests.delivery.decided import DOUBT, REFUSED, SENT, certified, ended, resolve, tamper
from tests.house import a_house, app_of, bearer
from tests.web.given import materialised

ANN, BEN, CLEO = "ann@example.com", "ben@example.com", "cleo@example.com"


def printed(b: Books, run_id: int) -> str:
    return "\n".join(lines_of(certified(b, run_id)))


def test_it_begins_with_sentences_and_shows_every_number_doubt_and_decision(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: REFUSED, CLEO: DOUBT, "dora@example.com": DOUBT})
        resolve(b, run_id, "mark-sent", "dora@example.com")
        c = certified(b, run_id)

        text = printed(b, run_id)

        assert text.startswith(
            f"Proof of run {run_id}\n\n“News” was sent for the slot 2 Mar 2026, 08:00:00 UTC.\n"
            "4 people were on its list: 2 were sent it, 1 failed, 0 were skipped, 1 are in doubt,"
            " 0 still wait. Nobody was lost.\n"
        )
        assert "Of 1 nobody can know whether it arrived" in text
        assert c.ledger_sha256 in text
        assert c.content_sha256 in text
        assert (
            f"  {CLEO}, since 2 Mar 2026, 08:00:00 UTC, through Main: the server fell silent <3@test>"
            in text
        )
        assert "mark-sent: dora@example.com, by ann@sendonce.test (the server fell silent)" in text
        assert text.count("  ok      ") == len(c.checks)


def test_where_it_does_not_hold_that_is_the_first_thing_it_says(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: SENT})
        tamper(b, "DELETE FROM deliveries WHERE id = 2")

        text = printed(b, run_id)

        assert text.splitlines()[3] == "THIS PROOF DOES NOT HOLD: 2 of 8 checks have failed."
        assert "FAILED  Everybody is accounted for: recipients says 2, the rows 1" in text
        assert "Nobody was lost" not in text


def test_a_run_on_its_way_says_that_this_is_how_it_stands_now(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        text = printed(b, b.running(ANN))

        assert "It is running and not finished: this is how it stands at 2 Mar 2026" in text
        assert "Nobody is in doubt." in text


def test_a_text_from_outside_can_not_command_the_terminal(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: DOUBT})
        c = certified(b, run_id)

        evil = replace(c.in_doubt[0], reason="\x1b[2Jgone\r\n")

        text = "\n".join(lines_of(replace(c, in_doubt=[evil])))
        assert "\x1b" not in text
        assert "\r" not in text


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_its_status_says_whether_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ok: bool, status: int
) -> None:
    with books(tmp_path, SystemClock()) as b:
        run_id = ended(b, {ANN: SENT})
        if not ok:
            tamper(b, "UPDATE runs SET content_sha256 = 'x'")

        assert proof(b.database, run_id, clock=b.clock) == status

        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith("Read from the ledger a second time: ")
        assert last.endswith("it holds.") is ok


def test_a_check_is_printed_with_what_was_found(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        c = certified(b, ended(b, {ANN: SENT}))

        text = "\n".join(lines_of(replace(c, checks=[Check(what="W", ok=False, detail="D")])))

        assert "  FAILED  W: D." in text


def command(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["proof", *arguments, "--data-dir", str(data)])


def test_an_unknown_run_is_a_sentence_and_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDONCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SENDONCE_SECRET_KEY", "a secret key for tests")
    with a_house(tmp_path) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        materialised(house, client)

    unknown, known = command(tmp_path / "data", "9"), command(tmp_path / "data", "1")

    assert (unknown.exit_code, unknown.stderr.strip()) == (1, "There is no run 9.")
    assert known.exit_code == 0, known.output
    assert known.stdout.startswith("Proof of run 1")


def test_a_directory_that_is_none_is_a_sentence_and_a_status(tmp_path: Path) -> None:
    missing = command(tmp_path / "nothing", "1")

    assert missing.exit_code == 1
    assert "There is no Sendonce in" in missing.stderr
