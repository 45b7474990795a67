"""Serves the API and the scheduler in one process, on a production WSGI server, until it is told to stop."""

import json
import queue
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

import click
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from assembly import Sendonce, assemble
from foundation.errors import Unavailable
from foundation.interpreter import spare_what_is_here, take_short_turns
from foundation.settings import Settings
from foundation.version import VERSION
from ops import first_start
from ops.first_start import url_of

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

Build = Callable[[Sendonce], "WSGIApplication"]
"""What makes the WSGI application of a house; app.py hands it over, since ops does not know the web room."""

THREADS = 32
MOST_BYTES = 64 * 1024 * 1024
"""A larger body is refused before it is taken in; the application refuses much smaller ones, in its own words."""

MOST_CONNECTIONS = 1000
IDLE_SECONDS = 30
"""A client that neither asks nor reads for so long is hung up on; it may connect again."""

_BACKLOG = 128
_FILES_FOR_THE_REST = 200
"""Of the files this process may have open: stores, mail connections, imports, the outbox."""


def serve(settings: Settings, *, host: str, port: int, build: Build) -> None:
    """Serve until SIGTERM or SIGINT. Raises Unavailable where the port or the data directory can't be used."""
    # The port comes first: where it is taken nothing has been started, and nothing has to be taken back.
    listening = listen(host, port)
    url = url_of(listening)
    house = assemble(replace(settings, public_url=settings.public_url or url))
    with stop_on_signals() as stopping, running(house, build, listening) as server:
        spare_what_is_here()
        take_short_turns()
        _greet(house, url)
        wait_for(stopping, server)


def listen(host: str, port: int) -> socket.socket:
    """Take the port, and let clients connect: they are answered once a server runs on it. Raises Unavailable."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(
            (str(address[0]), int(address[1])), family=family, backlog=_BACKLOG
        )
    except (OSError, OverflowError) as error:
        # Python adds the address in its own notation to what the system says.
        why = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise Unavailable(
            f"Port {port} of {host} can't be used ({why}). Choose another with --port, or stop what uses it."
        ) from None


def listen_nearby(host: str, port: int) -> socket.socket:
    """Take the port, or any free one where that is in use."""
    try:
        return listen(host, port)
    except Unavailable:
        return listen(host, 0)


@contextmanager
def running(house: Sendonce, build: Build, listening: socket.socket) -> Iterator["HttpServer"]:
    """Run the house and its HTTP server while the block lasts, then stop both, within 10 seconds."""
    house.start()
    try:
        server = HttpServer(build(house), listening)
    except BaseException:
        house.stop()
        raise
    try:
        yield server
    finally:
        # At once and together: what is being sent may need 8 seconds to settle, what is being answered 5.
        settling = threading.Thread(target=house.thread.stop, name="stopping")
        settling.start()
        server.stop()
        settling.join()
        house.stop()


def wait_for(stopping: threading.Event, server: "HttpServer") -> None:
    """Wait until somebody says stop. Raises Unavailable when the HTTP server ends by itself."""
    # In slices: a signal's handler runs in this thread, and on some systems only between two waits.
    while not stopping.wait(0.5):
        if not server.is_alive():
            raise Unavailable("The HTTP server has ended by itself; the log says why. Start again.")


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set; a second signal changes nothing."""
    stopping = threading.Event()
    # A handler runs in the main thread, between any two of its steps. There the event's lock may be held by the very
    # wait() that was interrupted, and set() would wait for it for ever. A SimpleQueue's put is made for that; the event
    # is set in a thread that no signal interrupts.
    signals: queue.SimpleQueue[None] = queue.SimpleQueue()

    def note(number: int, frame: FrameType | None) -> None:
        signals.put(None)

    def pass_on() -> None:
        signals.get()
        stopping.set()

    passing = threading.Thread(target=pass_on, name="signals", daemon=True)
    passing.start()
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.put(None)
        passing.join()


class _Problem(ErrorTask):  # type: ignore[misc]  # the library has no types
    """The answer to what is no HTTP request that could be handed on, in the form of all our mistakes (RFC 9457)."""

    def execute(self) -> None:
        error = self.request.error
        title = error.reason.capitalize()
        members = {
            "type": f"urn:sendonce:problem:{title.lower().replace(' ', '-')}",
            "title": title,
            "status": error.code,
            "detail": f"The request can't be taken: {error.body}.",
            "errors": [],
        }
        body = json.dumps(members).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "application/problem+json"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]  # the library has no types
    error_task_class = _Problem


class HttpServer:
    """Waitress on a port that is taken already. It answers at once, in threads of its own, until stop()."""

    def __init__(self, wsgi: "WSGIApplication", listening: socket.socket) -> None:
        self._sockets: dict[int, object] = {}
        # With a look-ahead of one a stream can ask whether its client is still there.
        self._server = create_server(
            wsgi,
            map=self._sockets,
            sockets=[listening],
            threads=THREADS,
            channel_request_lookahead=1,
            max_request_body_size=MOST_BYTES,
            connection_limit=_most_connections(),
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=IDLE_SECONDS // 3,
            ident="Sendonce",
        )
        self._server.channel_class = _Channel
        self._closing = threading.Event()
        self._drained = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Take no more connections, and let the requests that are under way end: 5 seconds at most."""
        self._closing.set()
        self._server.pull_trigger()
        self._server.task_dispatcher.shutdown(timeout=5)
        self._drained.set()
        self._server.pull_trigger()
        self._thread.join()
        wasyncore.close_all(self._sockets)

    def _run(self) -> None:
        self._turn_until(self._closing)
        wasyncore.dispatcher.close(self._server)
        # Answers may still need this thread to get out.
        self._turn_until(self._drained)

    def _turn_until(self, event: threading.Event) -> None:
        while not event.is_set():
            wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)


def _most_connections() -> int:
    """Return how many clients may be connected: where files run out, nothing works any more."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, files - _FILES_FOR_THE_REST), 2 * THREADS)


def _greet(house: Sendonce, url: str) -> None:
    click.echo(f"Sendonce {VERSION} serves {house.settings.data_dir}")
    link = first_start.link(house, url)
    if link is None:
        click.echo(f"Open {url}")
        return
    click.echo("There is no user yet. This link lets one browser in, once:")
    click.echo(link)
