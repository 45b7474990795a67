"""Says at the end what all rounds have come to."""

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rounds = [
        dict(report.user_properties)
        for report in terminalreporter.stats.get("passed", [])
        if report.when == "call" and "doubts_of_kills" in dict(report.user_properties)
    ]
    if not rounds:
        return
    left = [entry for found in rounds for entry in found["doubts_of_kills"]]
    failed = len(terminalreporter.stats.get("failed", []))
    terminalreporter.section("killing")
    terminalreporter.line(
        f"{len(rounds)} rounds held, {failed} did not; {sum(found['kills'] for found in rounds)} kills;"
        f" {sum(found['accepted'] for found in rounds)} mails taken; {sum(found['doubts'] for found in rounds)} in"
        f" doubt, {sum(doubts for _, doubts in left)} of them by kills; at most"
        f" {max((doubts for kills, doubts in left if kills == 1), default=0)} by one kill"
    )
