"""What a message costs before it goes out: rendering, the MIME writer beside the standard library's, and all of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle
from typing import TypeVar

from benchmarks import corpus
from benchmarks.a_run import a_run
from benchmarks.figure import Figure
from benchmarks.plain_sender import MESSAGE_ID, UNSUBSCRIBE, email_message
from benchmarks.sizes import Sizes
from benchmarks.timing import best_us
from campaigns.model import Content
from campaigns.render import RecipientView, compile_content
from delivery.compose import Composer, RunContent
from delivery.leases import Leased
from mail.message import Message, Parts, build
from tests.delivery.builders import KEY

_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

T = TypeVar("T")


def render(sizes: Sizes) -> Iterator[Figure]:
    """Render subject, HTML and text for one recipient, the templates compiled before."""
    compiled = compile_content(corpus.snapshot())
    one = _over(list(corpus.people(100)), lambda p: compiled.render(p, _NOW, UNSUBSCRIBE))
    took = best_us(one, calls=sizes.calls, rounds=sizes.rounds)
    yield Figure(name="render", value=took, unit="us")


def mime(sizes: Sizes) -> Iterator[Figure]:
    """Write rendered content as bytes; beside it the standard library's EmailMessage."""
    compiled = compile_content(corpus.snapshot())
    rendered = [(p, compiled.render(p, _NOW, UNSUBSCRIBE)) for p in corpus.people(50)]
    ours = _over([_parts(p, content) for p, content in rendered], build)
    theirs = _over(rendered, lambda pair: email_message(pair[0], pair[1]))
    yield Figure(
        name="MIME",
        value=best_us(ours, calls=sizes.calls, rounds=sizes.rounds),
        unit="us",
        against="EmailMessage",
        beside=best_us(theirs, calls=max(1, sizes.calls // 20), rounds=sizes.rounds),
    )


def compose(sizes: Sizes) -> Iterator[Figure]:
    """Make a message as a connection does: its id, the unsubscribe link, rendered, written."""
    composer = Composer(key=KEY, public_url="https://news.example.com")
    with a_run(100) as run:
        items = run.ledger.lease(run.run_id, run.account)
        with run.ledger.database.read() as tx:
            content = RunContent.of(tx, run.ledger.run(run.run_id))

    def make(item: Leased) -> Message:
        message_id = composer.message_id(item, run.account)
        return composer.compose(item, content, run.account, message_id=message_id, now=_NOW)

    took = best_us(_over(items, make), calls=sizes.calls, rounds=sizes.rounds)
    yield Figure(name="compose", value=took, unit="us")


def _over(things: list[T], call: Callable[[T], object]) -> Callable[[], object]:
    """Return a call that does it with the next thing, over and over."""
    next_thing = cycle(things).__next__
    return lambda: call(next_thing())


def _parts(person: RecipientView, content: Content) -> Parts:
    return Parts(
        from_email=corpus.SENDER,
        from_name=corpus.SENDER_NAME,
        to_email=person.email,
        to_name=person.name,
        reply_to=None,
        subject=content.subject,
        text=content.text,
        html=content.html,
        date=_NOW,
        message_id=MESSAGE_ID,
        unsubscribe_url=UNSUBSCRIBE,
    )
