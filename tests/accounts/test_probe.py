import socket

import pytest

from accounts.model import Kind, Security
from accounts.probe import is_ok, probe
from foundation.errors import Invalid
from mail.outbox import list_outbox, read_outbox
from mail.sandbox import SandboxServer
from tests.accounts.builders import an_account
from tests.builders import NOON
from tests.fake_clock import FakeClock


@pytest.fixture
def outbox(tmp_path):
    return tmp_path / "outbox"


@pytest.fixture
def sandbox_port(outbox):
    server = SandboxServer(outbox, FakeClock())
    yield server.start()
    server.stop()


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        yield taken.getsockname()[1]


def a_sandbox_account():
    return an_account(
        kind=Kind.SANDBOX,
        host="127.0.0.1",
        port=0,
        security=Security.NONE,
        username=None,
        password=None,
        name="Sandböx",
        from_name="Anna",
    )


def received(outbox):
    return list_outbox(outbox, q=None, before=None, limit=10)


def test_a_test_without_a_recipient_sends_nothing(outbox, sandbox_port):
    steps = probe(a_sandbox_account(), sandbox_port=sandbox_port, to=None, now=NOON)

    assert is_ok(steps)
    assert "connect" in [s.step for s in steps]
    assert "content" not in [s.step for s in steps]
    assert received(outbox) == []


def test_a_test_with_a_recipient_sends_one_mail(outbox, sandbox_port):
    steps = probe(a_sandbox_account(), sandbox_port=sandbox_port, to=" you@example.org ", now=NOON)

    assert is_ok(steps)
    assert all(s.ms >= 0 for s in steps)
    [item] = received(outbox)
    assert (item.mail_from, item.rcpt_to) == ("news@example.com", ("you@example.org",))
    mail = read_outbox(outbox, item.id)
    assert mail.subject == "Test from Sendonce"
    assert 'account "Sandböx"' in mail.text


def test_a_server_that_is_not_there_fails_at_connecting(closed_port):
    account = an_account(host="127.0.0.1", port=closed_port, security=Security.NONE)

    steps = probe(account, sandbox_port=0, to=None, now=NOON)

    assert not is_ok(steps)
    assert (steps[-1].step, steps[-1].ok) == ("connect", False)
    assert steps[-1].detail


def test_the_last_step_is_the_one_that_failed(outbox, sandbox_port):
    # The built-in server knows no users.
    account = an_account(host="127.0.0.1", port=sandbox_port, security=Security.NONE)

    steps = probe(account, sandbox_port=0, to="you@example.org", now=NOON)

    assert [s.ok for s in steps].count(False) == 1
    assert (steps[-1].step, steps[-1].ok) == ("auth", False)
    assert received(outbox) == []
    assert "correct horse" not in str(steps)


def test_a_recipient_that_is_no_address_is_refused_before_anything_is_tried(closed_port):
    account = an_account(host="127.0.0.1", port=closed_port, security=Security.NONE)

    with pytest.raises(Invalid) as caught:
        probe(account, sandbox_port=0, to="you", now=NOON)

    assert [e.field for e in caught.value.errors] == ["to"]


def test_no_steps_at_all_are_not_ok():
    assert not is_ok([])
