"""/api/events: run progress and schedule changes as they happen (server-sent events)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

from flask import Flask, Response, current_app, request, stream_with_context

from assembly import Sendonce
from foundation.errors import Unavailable
from web.current import the_house
from web.guards import is_still_let_in
from web.live import Event, Publisher
from web.openapi import Resource

resource = Resource("events", "What changes, as it happens")

_ASK_AGAIN = timedelta(seconds=5)
"""How long a stream may outlive its session or token."""

_HEARTBEAT = timedelta(seconds=15)
_LOOK_AROUND = timedelta(seconds=0.25)
"""How soon a stream notices that its client has gone, or that the server stops."""


def install(app: Flask) -> None:
    """Give this application the one publisher of its process."""
    app.extensions["sendonce_live"] = Publisher(app.extensions["sendonce"])


@resource.get("/api/events", "text/event-stream")
def events() -> Response:
    """Stream events: run, schedule and scheduler, each with the newest state of one of them.

    The data is JSON. A 503 with Retry-After where the server has no thread to spare: poll then.
    """
    if not request.environ.get("wsgi.multithread"):
        raise Unavailable(
            "This server answers one request at a time, so it streams no events. Poll instead."
        )
    publisher: Publisher = current_app.extensions["sendonce_live"]
    reading = ExitStack()
    reading.enter_context(publisher.reading())
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    pieces = stream_with_context(_stream(the_house(), publisher, gone))
    answer = Response(pieces, mimetype="text/event-stream")
    answer.call_on_close(reading.close)
    answer.headers["X-Accel-Buffering"] = "no"  # nginx: pass each event on at once
    return answer


def _stream(house: Sendonce, publisher: Publisher, gone: Callable[[], bool]) -> Iterator[bytes]:
    yield b"retry: 2000\n\n"
    sequence, now_so = publisher.current()
    yield from map(_written, now_so)
    said_at = asked_at = house.clock.elapsed()
    while not gone():
        if house.clock.elapsed() - asked_at > _ASK_AGAIN:
            asked_at = house.clock.elapsed()
            if not is_still_let_in():
                return
        if house.thread.is_stopping:
            yield b"event: bye\ndata: {}\n\n"
            return
        for event in publisher.since(sequence, _LOOK_AROUND):
            yield _written(event)
            sequence = event.sequence
            said_at = house.clock.elapsed()
        if house.clock.elapsed() - said_at > _HEARTBEAT:
            yield b": still here\n\n"
            said_at = house.clock.elapsed()


def _written(event: Event) -> bytes:
    return f"id: {event.sequence}\nevent: {event.kind}\ndata: {event.data}\n\n".encode()
