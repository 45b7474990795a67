import http.client
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from foundation.errors import Unavailable
from ops.serve import HttpServer, listen, listen_nearby, url_of, wait_for

Answer = Callable[[dict[str, Any]], bytes]


@contextmanager
def a_server(answer: Answer) -> Iterator[tuple[HttpServer, str]]:
    def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = answer(environ)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    listening = listen("127.0.0.1", 0)
    server = HttpServer(wsgi, listening)
    try:
        yield server, url_of(listening)
    finally:
        if server.is_alive():
            server.stop()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def test_it_answers_and_says_what_it_is() -> None:
    with (
        a_server(lambda environ: b"here") as (_, url),
        urllib.request.urlopen(url, timeout=10) as answer,
    ):
        assert answer.read() == b"here"
        assert answer.headers["Server"] == "Sendonce"


def test_a_request_that_is_under_way_is_answered_before_it_stops() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(environ: dict[str, Any]) -> bytes:
        begun.set()
        assert go_on.wait(10)
        return b"done"

    with a_server(slowly) as (server, url):
        answers: list[bytes] = []
        client = threading.Thread(target=lambda: answers.append(get(url)))
        client.start()
        assert begun.wait(10)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        go_on.set()
        stopping.join(10)
        client.join(10)

        assert answers == [b"done"]
        assert not server.is_alive()


def test_a_request_that_never_ends_does_not_keep_it_from_stopping() -> None:
    begun, end = threading.Event(), threading.Event()

    def endlessly(environ: dict[str, Any]) -> bytes:
        begun.set()
        end.wait(30)
        return b""

    with a_server(endlessly) as (server, url), socket.create_connection(_address(url)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert begun.wait(10)
        before = time.monotonic()
        server.stop()

        assert time.monotonic() - before < 8
        end.set()


def test_clients_that_only_connect_do_not_keep_others_out() -> None:
    with a_server(lambda environ: b"here") as (_, url), ExitStack() as idle:
        for _ in range(150):
            idle.enter_context(socket.create_connection(_address(url)))

        assert get(url) == b"here"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /caf\xc3\xa9\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Odd: a\0b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 300_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_answered_with_a_problem(request_: bytes, status: int) -> None:
    with (
        a_server(lambda environ: b"") as (_, url),
        socket.create_connection(_address(url), timeout=10) as client,
    ):
        client.sendall(request_)
        answer = http.client.HTTPResponse(client)
        answer.begin()

        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        told = json.loads(answer.read())
        assert told["status"] == status
        assert told.keys() == {"type", "title", "status", "detail", "errors"}


def test_a_stopped_server_lets_go_of_its_port() -> None:
    with a_server(lambda environ: b"") as (server, url):
        server.stop()
        host, port = _address(url)

        listen(host, port).close()


def test_a_port_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Unavailable, match=f"Port {port} of 127.0.0.1 can't be used"):
            listen("127.0.0.1", port)
        with listen_nearby("127.0.0.1", port) as other:
            assert other.getsockname()[1] != port


def test_a_host_that_is_not_this_machine_is_a_sentence() -> None:
    with pytest.raises(Unavailable, match=r"of 192\.0\.2\.1 can't be used"):
        listen("192.0.2.1", 0)


def test_the_address_of_every_interface_is_shown_as_this_machine_s() -> None:
    with listen("0.0.0.0", 0) as listening:
        assert url_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_ends_by_itself_is_noticed() -> None:
    with a_server(lambda environ: b"") as (server, _):
        server.stop()

        with pytest.raises(Unavailable, match="ended by itself"):
            wait_for(threading.Event(), server)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)
