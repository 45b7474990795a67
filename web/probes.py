"""What machines ask about this process: is it alive, is it ready, and in numbers how it goes. No token."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from assembly import Sendonce
from delivery import reads
from delivery.model import RunStatus
from foundation.errors import SendonceError
from foundation.version import VERSION
from scheduler.store import Notice
from storage import installation, sequence
from storage.aliveness import newest_leader
from web.current import the_house
from web.guards import open_to_all

blueprint = Blueprint("probes", __name__)

_OLDEST_TICK = timedelta(seconds=10)
_TICKS_MISSED = 5
_LONGEST_WAIT = timedelta(seconds=3)
_NOTICES_SHOWN = timedelta(days=7)


@blueprint.get("/healthz")
@open_to_all
def healthz() -> Response:
    """Say that the process answers."""
    return _json({"status": "alive"}, 200)


@blueprint.get("/readyz")
@open_to_all
def readyz() -> Response:
    """Say whether slots are being claimed and changes can be kept; a stand-by is ready while its leader is.

    warnings are what was found and mended lately, and what waits for a person: they do not make it unready, since that
    person needs the dashboard.
    """
    house = the_house()
    reasons = unready(house)
    warnings = [] if reasons else [*_questions(house), *(n.message for n in notices(house))]
    body = {"ready": not reasons, "reasons": reasons, "warnings": warnings}
    return _json(body, 503 if reasons else 200)


@blueprint.get("/metrics")
@open_to_all
def metrics() -> Response:
    """Give the ledger's numbers to Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FromLedger(the_house()))
    return Response(generate_latest(registry), content_type="text/plain; version=0.0.4")


def unready(house: Sendonce) -> list[str]:
    """Return why the house can't do its work just now; nothing when it can."""
    found = [*_copies(house), *_database_faults(house), *_folder_faults(house), *troubles(house)]
    return list(dict.fromkeys(found))


def troubles(house: Sendonce) -> list[str]:
    """Return what stops this process's scheduler, or its sending, as they have met it: nothing is looked at anew."""
    met = (house.scheduler.agenda.trouble, house.dispatcher.trouble)
    return [trouble for trouble in dict.fromkeys(met) if trouble is not None]


def notices(house: Sendonce) -> list[Notice]:
    """Return what was found in the schedule store in the last days, newest first."""
    with house.database.read() as tx:
        return house.store.notices(tx, since=house.clock.now() - _NOTICES_SHOWN)


def last_tick(house: Sendonce) -> datetime | None:
    """Return when the leader, whichever process it is, last looked for due slots."""
    with house.database.read() as tx:
        leader = newest_leader(tx)
    return leader.last_tick if leader else None


def _copies(house: Sendonce) -> Iterator[str]:
    copy = house.leader.copy_that_leads
    if copy is not None:
        yield f"A copy of this data directory, {copy}, is led by a process on this machine: this one stands by."


def _questions(house: Sendonce) -> Iterator[str]:
    with house.database.read() as tx:
        here = installation.read(tx)
    if here.clock_step_seconds is not None:
        step = f"{here.clock_step_seconds:.0f} seconds"
        yield f"The clock jumped by {step}: nothing is claimed until it is right or accepted."
    if here.doubted_reason is not None:
        yield f"{here.doubted_reason} Runs and slots are held until a person says go on."


def _database_faults(house: Sendonce) -> Iterator[str]:
    try:
        with house.database.write(durable=False, wait=_LONGEST_WAIT) as tx:
            # An empty transaction succeeds on a full disk too.
            sequence.next_id(tx, "readiness")
        tick = last_tick(house)
    except SendonceError as error:
        yield error.message
        return
    if tick is None:
        yield "The scheduler has not ticked yet."
        return
    age = house.clock.now() - tick
    if age > max(_OLDEST_TICK, _TICKS_MISSED * house.settings.scheduler_check_interval):
        yield f"The scheduler's last tick was {age.total_seconds():.0f} seconds ago."


def _folder_faults(house: Sendonce) -> Iterator[str]:
    try:
        house.disk.write_temp(house.settings.data_dir / "readiness", b"ready\n").unlink(
            missing_ok=True
        )
    except OSError as error:
        yield f"The data directory can't be written: {error.strerror}."


class _FromLedger(Collector):
    """Reads the numbers when it is asked, so that several processes and restarts agree."""

    def __init__(self, house: Sendonce) -> None:
        self._house = house

    def collect(self) -> Iterator[Metric]:
        with self._house.database.read() as tx:
            runs = reads.totals_by_run_status(tx)
            deliveries = reads.totals_by_delivery_status(tx)
        yield _gauge("sendonce_runs", "Runs by status", "status", _every_status(runs))
        yield _gauge(
            "sendonce_deliveries", "Deliveries of all runs by status", "status", deliveries
        )
        schedules: dict[str, int] = {}
        for schedule in self._house.store.read():
            schedules[schedule.status] = schedules.get(schedule.status, 0) + 1
        yield _gauge("sendonce_schedules", "Schedules by status", "status", schedules)
        tick = last_tick(self._house)
        if tick is not None:
            age = (self._house.clock.now() - tick).total_seconds()
            yield GaugeMetricFamily(
                "sendonce_last_tick_age_seconds", "Time since the leader's last tick", value=age
            )
        yield _gauge("sendonce_build", "This version", "version", {VERSION: 1})


def _every_status(runs: dict[str, int]) -> dict[str, int]:
    return {status.value: runs.get(status, 0) for status in RunStatus}


def _gauge(name: str, says: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, says, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def _json(body: dict[str, object], status: int) -> Response:
    return Response(json.dumps(body), status=status, mimetype="application/json")
