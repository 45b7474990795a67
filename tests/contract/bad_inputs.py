"""Bad requests, as data: what is sent, the status that answers it, and the field that the answer names.

The world they meet: audience 1 with one recipient, account 1 (Sandbox) and 2 (SMTP), campaign 1, schedule 1 (daily),
run 1.
"""

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

JSON = "application/json"
EVIL_LINE = "News\r\nBcc: everybody@example.com"

ACCOUNT: Json = {"name": "A", "host": "mail.example.com", "port": 25, "from_email": "a@example.com"}
AUDIENCE: Json = {"name": "R"}
RECIPIENT: Json = {"email": "new@example.com"}
CAMPAIGN: Json = {
    "name": "C",
    "subject": "S",
    "html": "<p>x</p>",
    "audience_ids": [1],
    "account_ids": [1],
}
SCHEDULE: Json = {
    "campaign_id": 1,
    "schedule_time": "2026-05-01T09:00:00",
    "schedule_type": "daily",
}
CUSTOM: Json = SCHEDULE | {"schedule_type": "custom", "repeat_interval": 60}
RULE: Json = SCHEDULE | {"schedule_type": "rrule", "rrule": "FREQ=DAILY"}
ONCE: Json = SCHEDULE | {"schedule_type": "once"}
TOKEN: Json = {"name": "t"}
USER: Json = {"email": "u@example.com", "password": "long enough now"}
SUPPRESSION: Json = {"email": "s@example.com"}
DECISION: Json = {"action": "resend", "emails": "all"}


@dataclass(frozen=True, kw_only=True)
class BadInput:
    """One request, and what is to be said about it. field None: it is not about one field."""

    name: str
    method: str
    path: str
    status: int
    field: str | None
    body: bytes | None = None
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


BAD_INPUTS: list[BadInput] = []


def _add(
    name: str,
    method: str,
    path: str,
    *,
    status: int = 422,
    field: str | None = None,
    body: bytes | None = None,
    content_type: str | None = JSON,
    headers: dict[str, str] | None = None,
) -> None:
    BAD_INPUTS.append(
        BadInput(
            name=f"{len(BAD_INPUTS) + 1:03} {method} {path.split('?')[0]}: {name}",
            method=method,
            path=path,
            status=status,
            field=field,
            body=body,
            content_type=content_type if body is not None else None,
            headers=headers or {},
        )
    )


def _fields(method: str, path: str, good: Json, rows: list[tuple[str, str, Any]]) -> None:
    """Add a request for each (field, why, bad value): good but for that one field."""
    for name, why, value in rows:
        body = json.dumps(good | {name: value}).encode()
        _add(f"{name} {why}", method, path, field=name, body=body)


def _bodies(method: str, path: str, rows: list[tuple[str, str, Json]]) -> None:
    """Add a request for each (the field to be named, why, whole body)."""
    for name, why, body in rows:
        _add(why, method, path, field=name, body=json.dumps(body).encode())


def _queries(path: str, rows: list[tuple[str, str]]) -> None:
    """Add a look-up for each (the parameter to be named, query string)."""
    for name, query in rows:
        _add(f"?{query[:40]}", "GET", f"{path}?{query}", field=name)


# What a text that ends up in a header, or names something, may not be.
def _line(name: str) -> list[tuple[str, str, Any]]:
    return [
        (name, "with CR LF", EVIL_LINE),
        (name, "with LF", "a\nb"),
        (name, "with a NUL", "a\0b"),
        (name, "with a line separator", "a\u2028b"),
        (name, "as a number", 5),
        (name, "as a list", ["a"]),
    ]


def _required_line(name: str) -> list[tuple[str, str, Any]]:
    return [*_line(name), (name, "empty", ""), (name, "null", None)]


def _address(name: str) -> list[tuple[str, str, Any]]:
    return [
        (name, "without an @", "ann.example.com"),
        (name, "without a domain", "ann@"),
        (name, "with CR LF", "ann@example.com\r\nBcc: x@example.com"),
        (name, "with two @", "a@b@example.com"),
        (name, "with a name around it", "Ann <ann@example.com>"),
        (name, "too long", "a" * 400 + "@example.com"),
        (name, "as an object", {"address": "ann@example.com"}),
    ]


# -- accounts --------------------------------------------------------------------------------------------------------

_ACCOUNT_ROWS: list[tuple[str, str, Any]] = [
    *_required_line("name"),
    ("name", "of 201 characters", "n" * 201),
    *_required_line("host"),
    ("host", "with a scheme", "https://mail.example.com"),
    ("host", "with a blank", "mail example"),
    ("host", "with a path", "mail.example.com/x"),
    ("port", "0", 0),
    ("port", "65536", 65536),
    ("port", "negative", -1),
    ("port", "as a text", "25"),
    ("port", "as a fraction", 25.5),
    ("port", "as a truth", True),
    ("port", "null", None),
    ("port", "beyond 64 bits", 2**64),
    ("security", "unknown", "ssl"),
    ("security", "in capitals", "TLS"),
    ("security", "null", None),
    ("username", "with CR LF", "me\r\nMAIL FROM:<x>"),
    ("username", "empty", ""),
    *_address("from_email"),
    ("from_email", "null", None),
    *_line("from_name"),
    *_address("reply_to"),
    ("max_connections", "0", 0),
    ("max_connections", "a million", 1_000_000),
    ("max_connections", "as a text", "4"),
    ("pipelining", "as a text", "false"),
    ("pipelining", "as a number", 0),
    ("pipelining", "null", None),
    ("rate_per_second", "0", 0),
    ("rate_per_second", "negative", -0.5),
    ("rate_per_second", "as a text", "fast"),
    ("limit_per_hour", "0", 0),
    ("limit_per_hour", "as a fraction", 0.5),
    ("limit_per_day", "negative", -5),
    ("limit_per_day", "as a list", [1]),
    ("id", "given", 7),
    ("state", "given", "ok"),
    ("kind", "given", "sandbox"),
]
_fields("POST", "/api/accounts", ACCOUNT, _ACCOUNT_ROWS)
_fields("PATCH", "/api/accounts/2", {}, _ACCOUNT_ROWS)
_bodies(
    "POST",
    "/api/accounts",
    [
        ("name", "without a name", {k: v for k, v in ACCOUNT.items() if k != "name"}),
        ("host", "with nothing", {}),
        ("from_email", "with nothing at all", {}),
        ("password", "a password without a username", ACCOUNT | {"password": "secret"}),
        (
            "password",
            "a password with CR LF",
            ACCOUNT | {"username": "u", "password": "a\r\nb"},
        ),
    ],
)
_bodies(
    "PATCH",
    "/api/accounts/1",
    [("host", "another host for the Sandbox", {"host": "mail.example.com"})],
)
_fields("POST", "/api/accounts/2/test", {}, [*_address("to"), ("from", "unknown", "x@example.com")])
_fields("POST", "/api/accounts/2/resume", {}, [("note", "unknown", "x")])

# -- audiences -------------------------------------------------------------------------------------------------------

_AUDIENCE_ROWS: list[tuple[str, str, Any]] = [
    *_required_line("name"),
    ("name", "of blanks", "   "),
    ("name", "of 201 characters", "n" * 201),
    ("version", "given", 3),
]
_fields("POST", "/api/audiences", AUDIENCE, _AUDIENCE_ROWS)
_fields("PATCH", "/api/audiences/1", {}, _AUDIENCE_ROWS)
_RECIPIENT_ROWS: list[tuple[str, str, Any]] = [
    ("recipients", "as an object", {"email": "a@example.com"}),
    ("recipients", "as a text", "a@example.com"),
    ("recipients[0]", "a text in the list", ["a@example.com"]),
    ("recipients[0].email", "without an address", [{}]),
    ("recipients[0].email", "with null for an address", [{"email": None}]),
    ("recipients[0].email", "with a number for an address", [{"email": 5}]),
    ("recipients[1].mail", "with an unknown field", [RECIPIENT, RECIPIENT | {"mail": "x"}]),
    ("recipients[0].name", "with CR LF in a name", [RECIPIENT | {"name": EVIL_LINE}]),
    ("recipients[0].name", "with a number for a name", [RECIPIENT | {"name": 1}]),
    ("recipients[0].name", "with a long name", [RECIPIENT | {"name": "n" * 201}]),
    ("recipients[0].attributes", "with a list for attributes", [RECIPIENT | {"attributes": []}]),
    ("recipients[0].attributes", "with a text for attributes", [RECIPIENT | {"attributes": "x"}]),
    (
        "recipients[0].attributes",
        "with 17 KiB of attributes",
        [RECIPIENT | {"attributes": {"a": "x" * 17_000}}],
    ),
    (
        "recipients[0].attributes.n",
        "with a number beyond 64 bits",
        [RECIPIENT | {"attributes": {"n": 2**63}}],
    ),
    (
        "recipients[0].attributes.a[1]",
        "with a NUL deep inside",
        [RECIPIENT | {"attributes": {"a": [1, "\0"]}}],
    ),
    (
        "recipients[0].attributes.a",
        "with half a character",
        [RECIPIENT | {"attributes": {"a": "\ud83d"}}],
    ),
]
for _path, _good in (
    ("/api/audiences", AUDIENCE),
    ("/api/audiences/1/recipients", {}),
):
    _bodies(
        "POST", _path, [(name, why, _good | {"recipients": v}) for name, why, v in _RECIPIENT_ROWS]
    )
_bodies(
    "POST",
    "/api/audiences",
    [
        (
            "recipients[1].email",
            "a wrong address among the first recipients",
            AUDIENCE | {"recipients": [RECIPIENT, {"email": "nope"}]},
        ),
        (
            "recipients[0].email",
            "an address with CR LF",
            AUDIENCE | {"recipients": [{"email": "a@example.com\r\nBcc: b@example.com"}]},
        ),
    ],
)
_bodies(
    "POST",
    "/api/audiences/1/recipients",
    [
        ("recipients", "without recipients", {}),
        ("people", "with another word", {"people": []}),
    ],
)
_many = json.dumps({"name": "R", "recipients": [RECIPIENT] * 10_001}).encode()
_add("10,001 recipients", "POST", "/api/audiences", status=413, body=_many)
_add(
    "10,001 recipients",
    "POST",
    "/api/audiences/1/recipients",
    status=413,
    body=_many.replace(b'"name": "R", ', b""),
)
_add("a wrong address", "DELETE", "/api/audiences/1/recipients/nope", field="email")

# -- imports ---------------------------------------------------------------------------------------------------------


def _form(*parts: tuple[str, str, bytes]) -> bytes:
    return (
        b"".join(
            b"--b\r\nContent-Disposition: form-data; "
            + f"{disposition}".encode()
            + b"\r\n\r\n"
            + data
            + b"\r\n"
            for _, disposition, data in parts
        )
        + b"--b--\r\n"
    )


_FORM = "multipart/form-data; boundary=b"
_FILE = ("file", 'name="file"; filename="a.csv"', b"email\na@example.com\n")


def _import(why: str, named: str | None, *parts: tuple[str, str, bytes], status: int = 422) -> None:
    _add(
        why,
        "POST",
        "/api/audiences/1/import",
        status=status,
        field=named,
        body=_form(*parts),
        content_type=_FORM,
    )


_import("without a file", "file", ("dry_run", 'name="dry_run"', b"true"))
_import("a text for the file", "file", ("file", 'name="file"', b"email\na@example.com\n"))
_import("an empty file", "file", ("file", 'name="file"; filename="a.csv"', b""))
_import(
    "a file without addresses", "file", ("f", 'name="file"; filename="a.csv"', b"colour\nred\n")
)
_import("an unknown field", "mode", _FILE, ("mode", 'name="mode"', b"x"))
_import("a mapping that is no JSON", "mapping", _FILE, ("m", 'name="mapping"', b"email"))
_import("a list for the mapping", "mapping", _FILE, ("m", 'name="mapping"', b"[]"))
_import("a mapping to a number", "mapping", _FILE, ("m", 'name="mapping"', b'{"email": 1}'))
_import("a mapping nested without end", "mapping", _FILE, ("m", 'name="mapping"', b"[" * 100_000))
_import(
    "a mapping of a column that is not there",
    "mapping",
    _FILE,
    ("m", 'name="mapping"', b'{"nope": "email"}'),
)
_import("maybe for dry_run", "dry_run", _FILE, ("d", 'name="dry_run"', b"maybe"))
_add(
    "JSON for a form",
    "POST",
    "/api/audiences/1/import",
    status=415,
    body=b'{"file": "x"}',
)
_add("no body for a form", "POST", "/api/audiences/1/import", status=415)
_import("an audience that is not there", None, _FILE, status=404)
BAD_INPUTS[-1] = BadInput(
    **{**BAD_INPUTS[-1].__dict__, "path": "/api/audiences/99/import", "status": 404}
)


def _attach(why: str, *parts: tuple[str, str, bytes]) -> None:
    path = "/api/campaigns/1/attachments"
    body = _form(*parts)
    _add(why, "POST", path, status=422, field="file", body=body, content_type=_FORM)


_attach("nothing to attach")
_attach("a text to attach", ("file", 'name="file"', b"hello"))
_attach("an empty file to attach", ("file", 'name="file"; filename="a.pdf"', b""))
_attach("a program to attach", ("file", 'name="file"; filename="a.exe"', b"MZ\x90\x00"))

# -- campaigns -------------------------------------------------------------------------------------------------------

_CAMPAIGN_ROWS: list[tuple[str, str, Any]] = [
    *_required_line("name"),
    *_required_line("subject"),
    ("subject", "of 1,001 characters", "s" * 1001),
    ("subject", "with an open block", "{% if x"),
    ("html", "null", None),
    ("html", "as a list", ["<p>"]),
    ("html", "larger than a mebibyte", "x" * (1024 * 1024 + 1)),
    ("html", "with an unclosed if", "<p>{% if name %}</p>"),
    ("html", "with an unknown tag", "{% frobnicate %}"),
    ("html", "with an unknown filter", "{{ name|frobnicate }}"),
    ("html", "with an unknown name", "{{ recipent.name }}"),
    ("html", "that climbs to classes", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    ("html", "that climbs through attr", "{{ ''|attr('__class__') }}"),
    ("html", "that reads the configuration", "{{ config.items() }}"),
    (
        "html",
        "that reads the environment",
        "{{ self.__init__.__globals__['os'].environ.get('HOME') }}",
    ),
    ("html", "that climbs through format", "{{ '{0.__class__}'.format(name) }}"),
    ("html", "that calls cycler's globals", "{{ cycler.__init__.__globals__.os.popen('id') }}"),
    ("html", "that includes a file", "{% include '/etc/passwd' %}"),
    ("html", "that imports a file", "{% import 'os' as os %}"),
    ("html", "that extends a file", "{% extends 'base.html' %}"),
    ("html", "that loops for ever", "{% for i in range(10**9) %}x{% endfor %}"),
    ("html", "that multiplies a text", "{{ 'x' * 10**10 }}"),
    ("html", "that raises to a power", "{{ 9**9**9**9**9 }}"),
    ("html", "nested without end", "{% if 1 %}" * 2000 + "{% endif %}" * 2000),
    ("html", "with brackets without end", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}"),
    ("text", "with an unclosed for", "{% for x in y %}"),
    ("text", "as an object", {"a": 1}),
    ("text", "with a template attack", "{{ name.__class__.__subclasses__() }}"),
    ("audience_ids", "empty", []),
    ("audience_ids", "null", None),
    ("audience_ids", "as a number", 1),
    ("audience_ids", "of an audience that is not there", [999]),
    ("audience_ids", "of 101", list(range(1, 102))),
    ("account_ids", "empty", []),
    ("account_ids", "as a text", "1"),
    ("account_ids", "of an account that is not there", [999]),
    ("account_ids", "that mix Sandbox and SMTP", [1, 2]),
    *_line("from_name"),
    *_address("reply_to"),
    ("in_doubt", "unknown", "maybe"),
    ("in_doubt", "null", None),
    ("attachments", "given", []),
]
_fields("POST", "/api/campaigns", CAMPAIGN, _CAMPAIGN_ROWS)
_fields("PATCH", "/api/campaigns/1", {}, _CAMPAIGN_ROWS)
_bodies(
    "POST",
    "/api/campaigns",
    [
        ("audience_ids[0]", "a text for an id", CAMPAIGN | {"audience_ids": ["1"]}),
        ("audience_ids[1]", "a fraction for an id", CAMPAIGN | {"audience_ids": [1, 1.5]}),
        ("audience_ids[0]", "a truth for an id", CAMPAIGN | {"audience_ids": [True]}),
        ("audience_ids[0]", "id 0", CAMPAIGN | {"audience_ids": [0]}),
        ("account_ids[0]", "a negative id", CAMPAIGN | {"account_ids": [-1]}),
        ("account_ids[0]", "an id beyond 64 bits", CAMPAIGN | {"account_ids": [2**63]}),
        ("html", "neither HTML nor text", CAMPAIGN | {"html": ""}),
        ("subject", "with nothing", {}),
    ],
)
_fields("POST", "/api/campaigns/1/duplicate", {}, [("name", "unknown", "x")])
_fields(
    "POST",
    "/api/campaigns/1/preview",
    {},
    [
        *_address("recipient"),
        ("recipient", "of nobody we know", "nobody@example.com"),
        ("slot", "unknown", "2026-05-01T09:00:00Z"),
    ],
)
_fields(
    "POST",
    "/api/campaigns/1/test-send",
    {},
    [
        ("to", "empty", []),
        ("to", "null", None),
        ("to", "as a text", "a@example.com"),
        ("to", "of six", [f"a{i}@example.com" for i in range(6)]),
        ("subject", "unknown", "x"),
    ],
)
_bodies(
    "POST",
    "/api/campaigns/1/test-send",
    [
        ("to", "without an address", {}),
        ("to[1]", "a wrong address", {"to": ["a@example.com", "nope"]}),
        ("to[0]", "an address with CR LF", {"to": ["a@example.com\r\nRCPT TO:<b@example.com>"]}),
    ],
)

# -- schedules -------------------------------------------------------------------------------------------------------

_TIME_ROWS: list[tuple[str, str, Any]] = [
    ("schedule_time", "of 30 February", "2026-02-30T09:00:00"),
    ("schedule_time", "of the 13th month", "2026-13-01T09:00:00"),
    ("schedule_time", "at 25 o'clock", "2026-05-01T25:00:00"),
    ("schedule_time", "at minute 60", "2026-05-01T09:60:00"),
    ("schedule_time", "in year 0", "0000-01-01T00:00:00"),
    ("schedule_time", "in year 1", "0001-01-01T00:00:00Z"),
    ("schedule_time", "in year 9999", "9999-12-31T23:59:59-23:59"),
    ("schedule_time", "without a time", "2026-05-01"),
    ("schedule_time", "in words", "tomorrow"),
    ("schedule_time", "as a number", 1_800_000_000),
    ("schedule_time", "empty", ""),
    ("schedule_time", "null", None),
    ("schedule_time", "with an impossible offset", "2026-05-01T09:00:00+99:00"),
    ("schedule_time", "in Arabic digits", "٢٠٢٦-05-01T09:00:00"),
]
_SCHEDULE_ROWS: list[tuple[str, str, Any]] = [
    *_TIME_ROWS,
    ("campaign_id", "as a text", "1"),
    ("campaign_id", "0", 0),
    ("campaign_id", "null", None),
    ("campaign_id", "of no campaign", 999),
    ("campaign_id", "beyond 64 bits", 2**70),
    ("schedule_type", "unknown", "yearly"),
    ("schedule_type", "null", None),
    ("schedule_type", "as a number", 1),
    ("repeat_interval", "for a daily one", 60),
    ("repeat_interval", "0", 0),
    ("repeat_interval", "as a text", "60"),
    ("rrule", "for a daily one", "FREQ=DAILY"),
    ("rrule", "as a list", ["FREQ=DAILY"]),
    ("timezone", "unknown", "Mars/Olympus"),
    ("timezone", "empty", ""),
    ("timezone", "null", None),
    ("timezone", "that is a path", "../../etc/passwd"),
    ("timezone", "that is a folder", "Europe"),
    ("timezone", "with a NUL", "UTC\0"),
    ("timezone", "as an offset", "+01:00"),
    ("enabled", "as a text", "true"),
    ("enabled", "as a number", 1),
    ("enabled", "null", None),
    ("ends_at", "without an offset", "2026-06-01T00:00:00"),
    ("ends_at", "of 31 April", "2026-04-31T00:00:00Z"),
    ("ends_at", "before the first slot", "2020-01-01T00:00:00Z"),
    ("ends_at", "as a number", 5),
    ("max_runs", "0", 0),
    ("max_runs", "negative", -3),
    ("max_runs", "as a fraction", 1.5),
    ("catch_up", "unknown", "later"),
    ("catch_up", "null", None),
    ("overlap", "unknown", "both"),
    ("note", "as a number", 5),
    ("note", "of 1,001 characters", "n" * 1001),
    ("note", "with an escape character", "\x1b[31mred"),
    ("next_run", "given", "2026-05-01T09:00:00Z"),
    ("total_runs", "given", 5),
    ("status", "given", "completed"),
]
_fields("POST", "/api/schedules", SCHEDULE, _SCHEDULE_ROWS)
_fields("POST", "/api/schedules/preview", SCHEDULE, _SCHEDULE_ROWS)
_fields("PATCH", "/api/schedules/1", {}, _SCHEDULE_ROWS)
_RULE_ROWS: list[tuple[str, str, Any]] = [
    ("rrule", "null", None),
    ("rrule", "empty", ""),
    ("rrule", "in words", "every day"),
    ("rrule", "without FREQ", "INTERVAL=2"),
    ("rrule", "every second", "FREQ=SECONDLY"),
    ("rrule", "with INTERVAL=0", "FREQ=DAILY;INTERVAL=0"),
    ("rrule", "with a negative INTERVAL", "FREQ=DAILY;INTERVAL=-1"),
    ("rrule", "with COUNT and UNTIL", "FREQ=DAILY;COUNT=3;UNTIL=20270101T000000Z"),
    ("rrule", "with BYHOUR=25", "FREQ=DAILY;BYHOUR=25"),
    ("rrule", "with BYMONTH=13", "FREQ=YEARLY;BYMONTH=13"),
    ("rrule", "with BYDAY=XX", "FREQ=WEEKLY;BYDAY=XX"),
    ("rrule", "that never happens", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
    ("rrule", "with an unknown part", "FREQ=DAILY;BYMOON=1"),
    ("rrule", "with a part twice", "FREQ=DAILY;FREQ=WEEKLY"),
    ("rrule", "with DTSTART", "DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY"),
    ("rrule", "of 501 characters", "FREQ=DAILY;BYHOUR=" + ",".join(["1"] * 250)),
    ("rrule", "with an endless COUNT", "FREQ=DAILY;COUNT=99999999999999999999"),
]
_fields("POST", "/api/schedules", RULE, _RULE_ROWS)
_INTERVAL_ROWS: list[tuple[str, str, Any]] = [
    ("repeat_interval", "null", None),
    ("repeat_interval", "negative", -60),
    ("repeat_interval", "as a fraction", 0.5),
    ("repeat_interval", "of a hundred million years", 10**15),
]
_fields("POST", "/api/schedules", CUSTOM, _INTERVAL_ROWS)
_bodies(
    "POST",
    "/api/schedules",
    [
        (
            "schedule_time",
            "a one-time schedule in the past",
            ONCE | {"schedule_time": "2025-01-01T09:00"},
        ),
        (
            "schedule_time",
            "the second half past two of a doubled hour",
            ONCE | {"schedule_time": "2026-10-25T01:30:00Z", "timezone": "Europe/Berlin"},
        ),
        ("campaign_id", "with nothing", {}),
        ("schedule_time", "with nothing at all", {}),
        ("again_today", "again_today for a new one", SCHEDULE | {"again_today": True}),
    ],
)
_fields("PATCH", "/api/schedules/1", {}, [("again_today", "as a text", "yes")])
_fields(
    "POST",
    "/api/schedules/1/skip-next",
    {},
    [
        ("slot", "in words", "next"),
        ("slot", "without an offset", "2026-05-01T09:00:00"),
        ("slot", "null", None),
        ("slot", "as a number", 5),
    ],
)
_bodies("POST", "/api/schedules/1/skip-next", [("slot", "without a slot", {})])
_fields(
    "POST",
    "/api/schedules/1/missed",
    {"action": "send"},
    [
        ("action", "unknown", "resend"),
        ("action", "null", None),
        ("through", "without an offset", "2026-05-01T09:00:00"),
        ("through", "of 30 February", "2026-02-30T09:00:00Z"),
        ("slots", "unknown", []),
    ],
)
_bodies("POST", "/api/schedules/1/missed", [("action", "without an action", {})])
_fields("POST", "/api/schedules/1/pause", {}, [("note", "as a list", []), ("until", "unknown", 1)])
_fields("POST", "/api/schedules/1/resume", {}, [("note", "as an object", {})])
_fields("POST", "/api/schedules/1/run-now", {}, [("slot", "unknown", "2026-05-01T09:00:00Z")])

# -- runs, suppressions, tokens, users -------------------------------------------------------------------------------

_fields(
    "POST",
    "/api/runs/1/resume",
    {},
    [
        ("retry_refused", "as a text", "true"),
        ("retry_refused", "null", None),
        ("force", "unknown", True),
    ],
)
_fields("POST", "/api/runs/1/pause", {}, [("note", "unknown", "x")])
_fields("POST", "/api/runs/1/cancel", {}, [("reason", "unknown", "x")])
_fields("POST", "/api/runs/1/send-missing", {}, [("emails", "unknown", ["ann@example.com"])])
for _accepted in ("/api/clock", "/api/doubt"):
    _fields(
        "POST",
        _accepted,
        {"action": "accept"},
        [("action", "another", "refuse"), ("action", "null", None), ("by", "unknown", "ann")],
    )
    _bodies("POST", _accepted, [("action", "without an action", {})])
    _add("not in doubt", "POST", _accepted, status=409, body=b'{"action": "accept"}')
_fields(
    "POST",
    "/api/runs/1/in-doubt",
    DECISION,
    [
        ("action", "unknown", "send"),
        ("action", "with an underscore", "mark_sent"),
        ("action", "null", None),
        ("emails", "another text", "everybody"),
        ("emails", "null", None),
        ("emails", "empty", []),
        ("emails", "10,001 of them", ["ann@example.com"] * 10_001),
        ("before", "without an offset", "2026-05-01T09:00:00"),
        ("before", "as a number", 1),
        ("by", "unknown", "ann"),
    ],
)
_bodies(
    "POST",
    "/api/runs/1/in-doubt",
    [
        ("action", "without an action", {"emails": "all"}),
        ("emails", "without addresses", {"action": "resend"}),
        ("emails[1]", "no address", {"action": "resend", "emails": ["ann@example.com", "nobody"]}),
    ],
)
_add(
    "nothing in doubt",
    "POST",
    "/api/runs/1/in-doubt",
    status=409,
    body=json.dumps(DECISION).encode(),
)
_fields(
    "POST",
    "/api/suppressions",
    SUPPRESSION,
    [
        *_address("email"),
        ("email", "null", None),
        ("reason", "unknown", "spam"),
        ("reason", "null", None),
        ("created_at", "given", "2026-01-01T00:00:00Z"),
    ],
)
_add("a wrong address", "DELETE", "/api/suppressions/nope", field="email")
_fields(
    "POST",
    "/api/tokens",
    TOKEN,
    [
        *_required_line("name"),
        ("name", "of 101 characters", "n" * 101),
        ("role", "unknown", "root"),
        ("role", "null", None),
        ("expires_at", "past", "2020-01-01T00:00:00Z"),
        ("expires_at", "without an offset", "2030-01-01T00:00:00"),
        ("token", "given", "so_mine"),
    ],
)
_fields(
    "POST",
    "/api/users",
    USER,
    [
        *_address("email"),
        ("password", "too short", "short"),
        ("password", "of 1,001 characters", "p" * 1001),
        ("password", "as a number", 1234567890),
        ("role", "unknown", "owner"),
        ("disabled", "given", True),
    ],
)
_fields(
    "PATCH",
    "/api/users/1",
    {},
    [
        ("password", "too short", "short"),
        ("password", "null", None),
        ("role", "unknown", "owner"),
        ("role", "null", None),
        ("disabled", "as a text", "true"),
        ("disabled", "null", None),
        ("email", "given", "bob@example.com"),
    ],
)

_fields(
    "POST",
    "/api/invitations",
    {"email": "ann@example.com", "role": "viewer"},
    [
        *_address("email"),
        ("role", "unknown", "owner"),
        ("role", "null", None),
        ("link", "given", "https://example.com/join/mine"),
    ],
)

# -- query parameters ------------------------------------------------------------------------------------------------

for _path in (
    "/api/accounts",
    "/api/audiences",
    "/api/audiences/1/recipients",
    "/api/campaigns",
    "/api/schedules",
    "/api/runs",
    "/api/runs/1/deliveries",
    "/api/suppressions",
    "/api/outbox",
    "/api/tokens",
    "/api/users",
):
    _queries(
        _path,
        [
            ("limit", "limit=0"),
            ("limit", "limit=501"),
            ("limit", "limit=ten"),
            ("cursor", "cursor=nonsense"),
            ("page", "page=2"),
        ],
    )
_queries(
    "/api/audiences",
    [
        ("limit", "limit=-1"),
        ("limit", "limit="),
        ("limit", "limit=5.0"),
        ("limit", "limit=1e2"),
        ("limit", "limit=%2B5"),
        ("limit", "limit=5_0"),
        ("limit", "limit=%D9%A5"),
        ("limit", "limit=1&limit=2"),
        ("limit", "limit=" + "9" * 5000),
        ("cursor", "cursor="),
        ("cursor", "cursor=LTE"),
        ("cursor", "cursor=azk5OTk5OTk5OTk5OTk5OTk5OTk5OTk"),
        ("cursor", "cursor=%00"),
        ("cursor", "cursor=%ff%fe"),
        ("cursor", "cursor=" + "A" * 5000),
        ("cursor", "cursor=MTsgRFJPUCBUQUJMRSBhdWRpZW5jZXM"),
    ],
)
_queries(
    "/api/audiences/1/recipients", [("q", "q=a%00b"), ("q", "q=a%0d%0ab"), ("q", "q=" + "a" * 321)]
)
_queries(
    "/api/runs",
    [("status", "status=done"), ("schedule_id", "schedule_id=x"), ("schedule_id", "schedule_id=0")],
)
_queries(
    "/api/runs/1/deliveries", [("status", "status=leased"), ("status", "status="), ("q", "q=%00")]
)
_queries(
    "/api/schedules/1/upcoming",
    [("count", "count=0"), ("count", "count=501"), ("count", "count=x"), ("limit", "limit=5")],
)
_queries(
    "/api/schedules/1/slots",
    [
        ("before", "before=yesterday"),
        ("before", "before=2026-05-01T09:00:00"),
        ("before", "before=2026-02-30T09:00:00Z"),
        ("cursor", "cursor=azE"),
    ],
)
_queries(
    "/api/calendar",
    [
        ("from", "from=today"),
        ("to", "to=2026-05-01"),
        ("to", "from=2026-05-02T00:00:00Z&to=2026-05-01T00:00:00Z"),
        ("to", "from=2026-01-01T00:00:00Z&to=2030-01-01T00:00:00Z"),
        ("from", "from=2026-05-01T00:00:00"),
        ("start", "start=2026-05-01T00:00:00Z"),
    ],
)
_queries("/api/status", [("verbose", "verbose=1")])
_queries("/api/accounts/1", [("fields", "fields=name")])
_queries("/api/runs/1/deliveries.csv", [("status", "status=sent")])
_queries("/api/runs/1/certificate", [("at", "at=now")])
_add(
    "a parameter where none is taken",
    "POST",
    "/api/audiences?dry_run=1",
    field="dry_run",
    body=b'{"name": "R"}',
)

# -- bodies that are no bodies -----------------------------------------------------------------------------------------

for _path, _good in (
    ("/api/accounts", ACCOUNT),
    ("/api/audiences", AUDIENCE),
    ("/api/campaigns", CAMPAIGN),
    ("/api/schedules", SCHEDULE),
    ("/api/suppressions", SUPPRESSION),
    ("/api/tokens", TOKEN),
):
    _text = json.dumps(_good).encode()
    _add("cut off", "POST", _path, status=400, body=_text[:-1])
    _add("broken UTF-8", "POST", _path, status=400, body=_text[:-1] + b', "x": "\xc3\x28"}')
    _add("a list", "POST", _path, field="body", body=b"[" + _text + b"]")
    _add("text/plain", "POST", _path, status=415, body=_text, content_type="text/plain")
    _add("no content type", "POST", _path, status=415, body=_text, content_type=None)
    _add("nested 100,000 deep", "POST", _path, status=400, body=b'{"a":' * 100_000 + b"1")
    _add("nested 51 deep", "POST", _path, status=400, body=b'{"a":' * 51 + b"1" + b"}" * 51)

for _why, _body, _status in (
    ("NaN", b'{"name": NaN}', 400),
    ("Infinity", b'{"name": "R", "x": -Infinity}', 400),
    ("a key twice", b'{"name": "R", "name": "S"}', 400),
    ("a key twice, escaped", b'{"name": "R", "n\\u0061me": "S"}', 400),
    ("UTF-16", '{"name": "R"}'.encode("utf-16"), 400),
    ("UTF-16 without a mark", '{"name": "R"}'.encode("utf-16-le"), 400),
    ("a byte order mark", b'\xef\xbb\xbf{"name": "R"}', 400),
    ("Latin-1", '{"name": "Müller"}'.encode("latin-1"), 400),
    ("overlong UTF-8", b'{"name": "\xc0\xaf"}', 400),
    ("a surrogate in UTF-8", b'{"name": "\xed\xa0\x80"}', 400),
    ("single quotes", b"{'name': 'R'}", 400),
    ("a comment", b'{"name": "R"} // x', 400),
    ("a trailing comma", b'{"name": "R",}', 400),
    ("two objects", b'{"name": "R"}{"name": "S"}', 400),
    ("a raw line break in a text", b'{"name": "a\nb"}', 400),
    ("blanks", b"   ", 400),
    ("a form", b"name=R", 400),
    ("XML", b"<name>R</name>", 400),
    ("17 MiB", b'{"name": "' + b"x" * (17 * 1024 * 1024) + b'"}', 413),
):
    _add(_why, "POST", "/api/audiences", status=_status, body=_body)
for _why, _body, _named in (
    ("half a character", b'{"name": "\\ud800"}', "name"),
    ("an escaped NUL", b'{"name": "\\u0000"}', "name"),
    ("a number of 5,000 digits", b'{"name": ' + b"9" * 5000 + b"}", "name"),
    ("a number beyond all floats", b'{"name": 1e400}', "name"),
    ("a text", b'"name"', "body"),
    ("a text that holds an object", b'"{\\"name\\": \\"R\\"}"', "body"),
    ("null", b"null", "body"),
    ("a number", b"5", "body"),
    ("a thousand unknown fields", json.dumps({f"f{i}": i for i in range(1000)}).encode(), "name"),
):
    _add(_why, "POST", "/api/audiences", field=_named, body=_body)
for _type, _status in (
    ("application/x-www-form-urlencoded", 415),
    ("multipart/form-data; boundary=b", 415),
    ("text/html", 415),
    ("application/xml", 415),
    ("application/json; charset=utf-16", 415),
    ("application/json; charset=nonsense", 415),
    ("json", 415),
    ("application/jsonp", 415),
):
    _add(
        f"as {_type}",
        "POST",
        "/api/audiences",
        status=_status,
        body=b'{"name": "R"}',
        content_type=_type,
    )
_add(
    "compressed",
    "POST",
    "/api/audiences",
    status=415,
    body=b'{"name": "R"}',
    headers={"Content-Encoding": "gzip"},
)
_add("PATCH with a list", "PATCH", "/api/audiences/1", field="body", body=b"[]")
_add("PATCH cut off", "PATCH", "/api/schedules/1", status=400, body=b'{"note": ')

# -- headers -----------------------------------------------------------------------------------------------------------

for _path in ("/api/audiences/1", "/api/campaigns/1", "/api/accounts/2", "/api/schedules/1"):
    for _version in ("1", '"x"', 'W/"1"', '"1", "2"', '"99999999999999999999"', '"-1"', '""'):
        _add(
            f"If-Match: {_version}",
            "PATCH",
            _path,
            field="If-Match",
            body=b"{}",
            headers={"If-Match": _version},
        )
    _add("an old version", "DELETE", _path, status=412, headers={"If-Match": '"999"'})
for _key in ("", " ", "k" * 256, "schlüssel", "a\tb"):
    _add(
        f"Idempotency-Key: {_key[:20]!r}",
        "POST",
        "/api/audiences",
        field="Idempotency-Key",
        body=b'{"name": "R"}',
        headers={"Idempotency-Key": _key},
    )

# -- addresses ---------------------------------------------------------------------------------------------------------

for _what in ("accounts", "audiences", "campaigns", "schedules", "runs", "outbox", "imports"):
    for _id in ("0", "-1", "x", "1.5", "99999", "9223372036854775808", "1%00", "%F0%9F", "1;drop"):
        _add(f"id {_id}", "GET", f"/api/{_what}/{_id}", status=404)
for _call in (
    "accounts/99/test",
    "accounts/99/resume",
    "audiences/99/recipients",
    "campaigns/99/duplicate",
    "campaigns/99/preview",
    "schedules/99/run-now",
    "schedules/99/pause",
    "schedules/99/resume",
    "runs/99/pause",
    "runs/99/resume",
    "runs/99/cancel",
    "runs/99/send-missing",
):
    _body = b'{"recipients": []}' if "recipients" in _call else b"{}"
    _add("nothing there", "POST", f"/api/{_call}", status=404, body=_body)
for _method, _path in (
    ("PUT", "/api/audiences"),
    ("DELETE", "/api/audiences"),
    ("PATCH", "/api/runs/1"),
    ("DELETE", "/api/runs/1"),
    ("GET", "/api/schedules/1/run-now"),
    ("GET", "/api/schedules/preview"),
    ("POST", "/api/status"),
    ("POST", "/api/calendar"),
    ("TRACE", "/api/audiences"),
    ("FROBNICATE", "/api/audiences"),
):
    _add("a method that is not known", _method, _path, status=405)
