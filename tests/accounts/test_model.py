import math

import pytest

from accounts.model import AccountFields, Kind, Security, check
from foundation.errors import Invalid
from tests.accounts.builders import an_account, some_fields


def test_ordinary_fields_are_right():
    assert check(some_fields()) == some_fields()


def test_every_wrong_field_is_named():
    fields = AccountFields(
        name="",
        host="",
        port=0,
        username="new\nline",
        password="x\r\ny",
        from_email="nobody",
        from_name="a\r\nBcc: b@example.com",
        reply_to="nobody",
        max_connections=0,
        rate_per_second=0,
        limit_per_hour=0,
        limit_per_day=-1,
    )

    with pytest.raises(Invalid) as caught:
        check(fields)

    assert {e.field for e in caught.value.errors} == {
        "name",
        "host",
        "port",
        "username",
        "password",
        "from_email",
        "from_name",
        "reply_to",
        "max_connections",
        "rate_per_second",
        "limit_per_hour",
        "limit_per_day",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "  "),
        ("name", "a" * 201),
        ("name", "tab\there"),
        ("name", "line\u2028separator"),
        ("name", "lone \ud800 surrogate"),
        ("host", "mail example.com"),
        ("host", "mail.example.com\r\n"),
        ("host", "mail.example.com\x00"),
        ("host", "smtp://mail.example.com"),
        ("host", "mail.example.com:587"),
        ("host", "user@mail.example.com"),
        ("host", "a..b"),
        ("host", "a" * 64 + ".example.com"),
        ("host", ".example.com"),
        ("host", "."),
        ("host", "fe80::1%\n"),
        ("host", "a" * 256),
        ("port", -1),
        ("port", 65_536),
        ("username", ""),
        ("username", "nul\x00"),
        ("password", ""),
        ("password", "nul\x00"),
        ("password", "a" * 1001),
        ("from_email", ""),
        ("from_email", "a@example.com\r\nBcc: b@example.com"),
        ("from_email", "a@example.com\r\n"),
        ("from_email", "Anna <a@example.com>"),
        ("from_name", "a" * 201),
        ("reply_to", "a@example.com, b@example.com"),
        ("max_connections", 51),
        ("rate_per_second", -1.0),
        ("rate_per_second", 1e-300),
        ("rate_per_second", math.inf),
        ("rate_per_second", math.nan),
        ("rate_per_second", 100_001),
        ("limit_per_hour", 10**30),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(field, value):
    with pytest.raises(Invalid) as caught:
        check(some_fields(**{field: value}))

    assert [e.field for e in caught.value.errors] == [field]


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "mail_1.example.com",
        "pošta.example",
        "a.b.",
    ],
)
def test_names_and_addresses_of_hosts_are_taken(host):
    assert check(some_fields(host=host)).host == host


def test_a_password_without_a_username_is_refused():
    with pytest.raises(Invalid, match="password: needs a username"):
        check(some_fields(username=None))


def test_a_wrong_password_is_not_repeated_in_the_sentence():
    with pytest.raises(Invalid) as caught:
        check(some_fields(password="hunter2\n"))

    assert "hunter2" not in str(caught.value)


def test_blanks_around_names_and_addresses_do_not_count():
    fields = check(
        some_fields(name=" Main ", host=" h ", from_email=" a@example.com ", reply_to=" ")
    )

    assert (fields.name, fields.host, fields.from_email) == ("Main", "h", "a@example.com")
    assert fields.reply_to is None


def test_only_the_sandbox_may_have_port_0():
    fields = some_fields(port=0, security=Security.NONE)

    assert check(fields, kind=Kind.SANDBOX).port == 0
    with pytest.raises(Invalid, match="port: must be from 1 to 65,535, not 0"):
        check(fields, kind=Kind.SMTP)


def test_the_password_is_in_no_repr():
    assert "correct horse" not in repr(some_fields())
    assert "correct horse" not in repr(an_account())
