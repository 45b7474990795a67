import threading
from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, select

import audience.tables
import campaigns.tables
from accounts import store, usage
from accounts.model import Kind, Security, State
from accounts.tables import account_usage, accounts
from campaigns.tables import campaign_accounts
from foundation.errors import Conflict, Invalid, NotFound, Stale
from storage.database import Database
from tests.accounts.builders import KEY, OTHER_KEY, some_fields
from tests.builders import NOON, a_database

assert audience.tables  # campaigns refer to it


@pytest.fixture
def database(tmp_path):
    database = a_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def tx(database):
    with database.write(durable=False) as tx:
        yield tx


def create(tx, **changes):
    return store.create(tx, some_fields(**changes), key=KEY, now=NOON)


def update(tx, account_id, expected_version=None, **changes):
    return store.update(tx, account_id, changes, key=KEY, expected_version=expected_version)


def a_campaign_with(tx, account_id):
    tx.execute(
        insert(campaigns.tables.campaigns).values(
            id=1,
            version=1,
            name="Weekly",
            subject="s",
            html="h",
            in_doubt="hold",
            created_at=NOON,
            updated_at=NOON,
        )
    )
    tx.execute(insert(campaign_accounts).values(campaign_id=1, position=0, account_id=account_id))


def test_an_account_is_read_back_as_it_was_written(tx):
    created = create(tx, rate_per_second=2.5, limit_per_day=1000, reply_to="answers@example.com")

    assert store.get(tx, created.id, KEY) == created
    assert created.kind is Kind.SMTP
    assert created.security is Security.STARTTLS
    assert created.state is State.OK
    assert (created.version, created.password) == (1, "correct horse")
    assert (created.rate_per_second, created.limit_per_day) == (2.5, 1000)
    assert created.created_at == NOON


def test_a_wrong_account_is_not_kept(tx):
    with pytest.raises(Invalid, match="port"):
        create(tx, port=70_000)

    assert store.list_(tx, KEY, after=None, limit=10) == []


def test_the_password_lies_sealed_in_the_database(tx):
    create(tx)

    sealed = tx.execute(select(accounts.c.password_sealed)).scalar_one()

    assert b"correct horse" not in sealed
    assert KEY.unseal(sealed) == "correct horse"


def test_an_account_sealed_with_another_key_is_shown_as_paused_until_its_password_is_entered(tx):
    account = create(tx)

    unreadable = store.get(tx, account.id, OTHER_KEY)
    again = store.update(
        tx, account.id, {"password": "battery staple"}, key=OTHER_KEY, expected_version=None
    )

    assert unreadable.password is None
    assert unreadable.state is State.PAUSED
    assert "enter the password again" in unreadable.state_reason
    assert (again.state, again.password) == (State.OK, "battery staple")


def test_another_edit_under_another_key_keeps_the_sealed_password(tx):
    account = create(tx)

    store.update(tx, account.id, {"name": "Spare"}, key=OTHER_KEY, expected_version=None)

    assert store.get(tx, account.id, KEY).password == "correct horse"


def test_an_unknown_account_is_not_found(tx):
    for ask in (
        lambda: store.get(tx, 7, KEY),
        lambda: update(tx, 7, name="x"),
        lambda: store.delete(tx, 7, expected_version=None),
    ):
        with pytest.raises(NotFound, match=r"There is no account 7\."):
            ask()


def test_accounts_are_listed_by_id_in_pages(tx):
    first, second, third = (create(tx, name=name) for name in ("c", "b", "a"))

    assert store.list_(tx, KEY, after=None, limit=2) == [first, second]
    assert store.list_(tx, KEY, after=second.id, limit=2) == [third]


def test_an_edit_raises_the_version_and_keeps_what_it_does_not_name(tx):
    account = create(tx)

    edited = update(tx, account.id, expected_version=1, name="Spare", limit_per_hour=10)

    assert (edited.version, edited.name, edited.limit_per_hour) == (2, "Spare", 10)
    assert (edited.password, edited.host) == ("correct horse", "mail.example.com")


def test_pipelining_is_on_until_it_is_switched_off_which_makes_a_new_version(tx):
    account = create(tx)

    changed = update(tx, account.id, pipelining=False)

    assert (account.pipelining, account.version) == (True, 1)
    assert (changed.pipelining, changed.version) == (False, 2)
    assert store.get(tx, account.id, KEY) == changed
    assert not create(tx, pipelining=False).pipelining


def test_an_edit_of_an_older_version_is_stale(tx):
    account = create(tx)
    update(tx, account.id, name="Spare")

    with pytest.raises(Stale, match="it has version 2, not 1"):
        update(tx, account.id, expected_version=1, name="Other")
    with pytest.raises(Stale):
        store.delete(tx, account.id, expected_version=1)

    assert store.get(tx, account.id, KEY).name == "Spare"


def test_a_password_of_null_removes_it(tx):
    account = create(tx)

    assert update(tx, account.id, password=None).password is None
    assert tx.execute(select(accounts.c.password_sealed)).scalar_one() is None


def test_removing_the_username_removes_the_password_too(tx):
    account = create(tx)

    edited = update(tx, account.id, username=None)

    assert (edited.username, edited.password) == (None, None)


def test_a_password_alone_is_refused_where_there_is_no_username(tx):
    account = create(tx, username=None, password=None)

    with pytest.raises(Invalid, match="needs a username"):
        update(tx, account.id, password="secret words")


def test_what_must_be_there_can_not_be_made_null(tx):
    account = create(tx)

    with pytest.raises(Invalid) as caught:
        update(tx, account.id, name=None, max_connections=None, pipelining=None, from_name=None)

    assert {e.field for e in caught.value.errors} == {"name", "max_connections", "pipelining"}


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "other.example.com"},
        {"username": "other"},
        {"password": "battery"},
        {"pipelining": False},
    ],
)
def test_another_connection_ends_paused(tx, changes):
    account = create(tx)
    store.pause(tx, account.id, "535 no")

    assert update(tx, account.id, **changes).state is State.OK


def test_an_edit_that_leaves_the_connection_alone_leaves_the_state_alone(tx):
    account = create(tx)
    store.pause(tx, account.id, "535 no")

    edited = update(tx, account.id, name="Spare", password="correct horse")

    assert (edited.state, edited.state_reason) == (State.PAUSED, "535 no")


def test_a_deleted_account_is_gone_with_its_usage_and_its_id_is_not_used_again(tx):
    account = create(tx)
    usage.count(tx, account.id, 3, NOON)

    store.delete(tx, account.id, expected_version=1)

    assert tx.execute(select(func.count()).select_from(account_usage)).scalar_one() == 0
    assert create(tx).id == account.id + 1


def test_an_account_that_a_campaign_uses_can_not_be_deleted(tx):
    account = create(tx)
    a_campaign_with(tx, account.id)

    with pytest.raises(Conflict, match='A campaign uses the account "Main"'):
        store.delete(tx, account.id, expected_version=None)

    assert store.get(tx, account.id, KEY) == account


def test_an_account_that_the_caller_still_needs_can_not_be_deleted(tx):
    account = create(tx)

    with pytest.raises(Conflict, match=r"Run 5 is under way\."):
        store.delete(tx, account.id, expected_version=None, kept_by="Run 5 is under way.")

    assert store.get(tx, account.id, KEY) == account


def test_the_sandbox_account_is_made_once(tx):
    first = store.ensure_sandbox(tx, NOON)
    second = store.ensure_sandbox(tx, NOON + timedelta(days=1))

    sandbox = store.sandbox(tx, KEY)

    assert first == second == sandbox.id
    assert (sandbox.name, sandbox.kind) == ("Sandbox", Kind.SANDBOX)
    assert (sandbox.host, sandbox.port, sandbox.security) == ("127.0.0.1", 0, Security.NONE)
    assert len(store.list_(tx, KEY, after=None, limit=10)) == 1


def test_starts_at_the_same_time_make_one_sandbox_account(tmp_path):
    a_database(tmp_path).close()
    houses = [Database(tmp_path / "sendonce.db") for _ in range(4)]
    together = threading.Barrier(len(houses))
    ids = []

    def start(house):
        together.wait()
        with house.write(durable=False) as tx:
            ids.append(store.ensure_sandbox(tx, NOON))

    threads = [threading.Thread(target=start, args=(house,)) for house in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with houses[0].read() as tx:
        count = tx.execute(select(func.count()).select_from(accounts)).scalar_one()
    for house in houses:
        house.close()

    assert count == 1
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_before_the_first_start_there_is_no_sandbox_account(tx):
    with pytest.raises(NotFound):
        store.sandbox(tx, KEY)


def test_the_sandbox_account_can_not_be_deleted(tx):
    sandbox_id = store.ensure_sandbox(tx, NOON)

    with pytest.raises(Conflict, match="built-in mail server"):
        store.delete(tx, sandbox_id, expected_version=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "mail.example.com"},
        {"port": 25},
        {"security": Security.TLS},
        {"username": "x"},
        {"pipelining": False},
    ],
)
def test_the_sandbox_account_keeps_its_connection(tx, changes):
    sandbox_id = store.ensure_sandbox(tx, NOON)

    with pytest.raises(Invalid, match="built-in mail server") as caught:
        update(tx, sandbox_id, **changes)

    assert [e.field for e in caught.value.errors] == list(changes)


def test_the_rest_of_the_sandbox_account_can_be_changed(tx):
    sandbox_id = store.ensure_sandbox(tx, NOON)

    changed = update(
        tx,
        sandbox_id,
        name="Play",
        from_email="me@example.com",
        max_connections=2,
        limit_per_day=5,
        host="127.0.0.1",
        port=0,
    )

    assert (changed.name, changed.from_email) == ("Play", "me@example.com")
    assert (changed.max_connections, changed.limit_per_day) == (2, 5)
    assert store.ensure_sandbox(tx, NOON) == sandbox_id


def test_unknown_ids_and_kinds_are_told(tx):
    sandbox_id = store.ensure_sandbox(tx, NOON)
    smtp_id = create(tx).id

    assert store.missing(tx, [99, smtp_id, 10**30, 99, sandbox_id]) == [99, 10**30]
    assert store.missing(tx, []) == []
    assert store.kinds(tx, [sandbox_id, smtp_id]) == {Kind.SANDBOX, Kind.SMTP}
    assert store.kinds(tx, [smtp_id, 99]) == {Kind.SMTP}
    assert store.kinds(tx, []) == set()


def test_a_fault_lets_the_account_rest_without_a_new_version(tx):
    account = create(tx)
    until = NOON + timedelta(seconds=4)

    store.rest(tx, account.id, "421 too many connections", until)

    resting = store.get(tx, account.id, KEY)
    assert (resting.state, resting.rest_until) == (State.FAILING, until)
    assert (resting.state_reason, resting.version) == ("421 too many connections", 1)


def test_a_long_reason_is_cut(tx):
    account = create(tx)

    store.rest(tx, account.id, "x" * 5000, NOON)

    assert len(store.get(tx, account.id, KEY).state_reason) == 1000


def test_a_mail_handed_over_ends_failing(tx):
    account = create(tx)
    store.rest(tx, account.id, "refused", NOON)

    store.recover(tx, account.id)

    well = store.get(tx, account.id, KEY)
    assert (well.state, well.state_reason, well.rest_until) == (State.OK, None, None)


def test_neither_a_later_fault_nor_a_mail_handed_over_ends_paused(tx):
    account = create(tx)
    store.pause(tx, account.id, "535 no")

    store.rest(tx, account.id, "421 busy", NOON)
    store.recover(tx, account.id)

    paused = store.get(tx, account.id, KEY)
    assert (paused.state, paused.state_reason) == (State.PAUSED, "535 no")


def test_a_person_ends_failing_and_paused(tx):
    resting, paused = create(tx), create(tx)
    store.rest(tx, resting.id, "refused", NOON)
    store.pause(tx, paused.id, "535 no")

    store.revive(tx, resting.id)
    store.revive(tx, paused.id)

    states = {a.state for a in store.list_(tx, KEY, after=None, limit=10)}
    assert states == {State.OK}


def test_a_list_takes_one_statement_whatever_its_length(tx):
    for _ in range(20):
        create(tx)
    statements = []
    event.listen(tx, "before_cursor_execute", lambda *args: statements.append(args[2]))

    listed = store.list_(tx, KEY, after=None, limit=500)

    assert len(listed) == 20
    assert len(statements) == 1
