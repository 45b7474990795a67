"""/runs/{id}/certificate: the proof of a run in words, as it is printed and kept."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from delivery import outlines
from delivery.certificate import Certificate, OpenDoubt, certify
from web.current import the_house
from web.decided import Decided, decided
from web.page import Pages, show
from web.pages.run import MADE_FOR
from web.shown import many
from web.tally import Tally, tally

pages = Pages("certificate")

MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePage:
    """What the page shows; of long lists the beginning. failed: how many checks have."""

    certificate: Certificate
    zone: str
    made_for: str
    tally: Tally
    failed: int
    sentence: str
    doubts: Sequence[OpenDoubt]
    more_doubts: int
    decisions: Sequence[Decided]
    more_decisions: int


@pages.get("/runs/<id:run_id>/certificate")
def certificate(run_id: int) -> Response:
    """Prove what became of everybody, computed from the ledger's rows just now."""
    house = the_house()
    with house.database.read() as tx:
        found = certify(tx, run_id, house.clock.now())
        zone = outlines.outline(tx, run_id).zone
    page = CertificatePage(
        certificate=found,
        zone=zone,
        made_for=MADE_FOR[found.origin],
        tally=tally(found.outcomes, finished=found.is_final),
        failed=sum(not check.ok for check in found.checks),
        sentence=_sentence(found),
        doubts=found.in_doubt[:MOST],
        more_doubts=max(0, len(found.in_doubt) - MOST),
        decisions=decided(found.decisions[:MOST]),
        more_decisions=max(0, len(found.decisions) - MOST),
    )
    return show("certificate.html", page=page, section="Runs")


def _sentence(found: Certificate) -> str:
    """Say what was found to somebody who reads nothing else; of one that holds."""
    if not found.recipients:
        return "There was nobody to send to. Nothing was sent."
    sent = many(found.outcomes.sent, "person")
    said = f"Of {many(found.recipients, 'person')} on the list, it was sent to {sent}."
    if found.is_final:
        said += " Everybody is accounted for."
    again = len({made.email for made in found.decisions if made.action == "resend"})
    if again:
        said += (
            f" Nobody was sent it twice, but for {many(again, 'person')} to whom it was sent again because somebody"
            " decided so."
        )
    else:
        said += " Nobody was sent it twice."
    doubts = len(found.in_doubt)
    if doubts:
        said += f" Of {many(doubts, 'person')} nobody can know whether it arrived: that is still to be decided."
    return said
