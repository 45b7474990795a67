import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import audit
from identity.audit import Entry
from identity.model import Role
from tests.house import bearer
from tests.web.browser_client import signed_in
from web import audited


def log_of(house: Sendonce) -> list[Entry]:
    with house.database.read() as tx:
        return audit.entries(tx, limit=100)


def test_what_no_route_notes_is_noted_by_its_address(
    house: Sendonce, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audited, "note", _in_vain_at_first(audited.note))

    client.post("/api/audiences", json={"name": "Readers"})

    (entry,) = log_of(house)
    assert (entry.deed.action, entry.deed.object) == ("post", "path:/api/audiences")
    assert (entry.deed.actor, entry.deed.by) == ("bootstrap", "the bootstrap token")
    assert entry.deed.address == "127.0.0.1"


def test_what_was_refused_is_no_deed(house: Sendonce, stranger: FlaskClient) -> None:
    stranger.post("/api/audiences", json={"name": "Readers"})
    stranger.post("/api/audiences", json={"name": ""}, headers=bearer())

    assert log_of(house) == []


def test_a_repeat_is_not_noted_again(house: Sendonce, client: FlaskClient) -> None:
    once = {"Idempotency-Key": "k1"}

    for _ in range(2):
        client.post("/api/audiences", json={"name": "Readers"}, headers=once)

    assert len(log_of(house)) == 1


def test_a_person_is_noted_by_name(house: Sendonce) -> None:
    editor = signed_in(house, role=Role.EDITOR)

    editor.post_form("/audiences/new", {"name": "Readers"})

    newest = log_of(house)[0].deed
    assert (newest.actor, newest.by) == ("user:1", "editor@example.com")


def _in_vain_at_first(note):
    """Return a note that forgets what a route says and keeps what the net below says."""

    def only_the_net(tx, action, object_, **rest):
        if object_.startswith("path:"):
            note(tx, action, object_, **rest)

    return only_the_net
