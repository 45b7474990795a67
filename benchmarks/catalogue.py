"""All that is measured."""

from benchmarks.figure import Benchmark
from benchmarks.importing import importing
from benchmarks.large_run import large_run
from benchmarks.ledger import ledger
from benchmarks.ledger_price import ledger_price
from benchmarks.making import compose, mime, render
from benchmarks.materialising import materialising
from benchmarks.recurrence import recurrence
from benchmarks.sending import sending
from benchmarks.starting import idling, starting
from benchmarks.tick import tick_due, tick_idle

IN_PROCESS = (
    Benchmark("render", render),
    Benchmark("mime", mime),
    Benchmark("compose", compose),
    Benchmark("ledger", ledger),
    Benchmark("recurrence", recurrence),
    Benchmark("tick-idle", tick_idle),
    Benchmark("tick-due", tick_due),
    Benchmark("materialise", materialising),
)
"""One piece of the product each."""

WHOLE = (
    Benchmark("import", importing),
    Benchmark("start", starting),
    Benchmark("idle", idling),
    Benchmark("ledger-price", ledger_price),
    Benchmark("send", sending),
)
"""These start processes of their own."""

WHEN_NAMED = (Benchmark("large-run", large_run),)
"""These take too long to be taken with the others."""
