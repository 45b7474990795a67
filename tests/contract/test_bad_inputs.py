"""Whatever is sent, the answer is a problem that names the field, and nothing has happened."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.contract.bad_inputs import BAD_INPUTS, BadInput
from tests.house import a_house, bearer
from web.server import build_flask

COUNTED = (
    "/api/accounts",
    "/api/audiences",
    "/api/audiences/1/recipients",
    "/api/campaigns",
    "/api/schedules",
    "/api/runs",
    "/api/suppressions",
    "/api/tokens",
    "/api/users",
    "/api/outbox",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    with a_house(tmp_path_factory.mktemp("bad_inputs")) as house:
        client = build_flask(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        make_the_world(client)
        yield client


def make_the_world(client: FlaskClient) -> None:
    account = {"name": "A", "host": "mail.example.com", "port": 25, "from_email": "a@example.com"}
    campaign = {
        "name": "C",
        "subject": "S",
        "html": "<p>x</p>",
        "audience_ids": [1],
        "account_ids": [1],
    }
    schedule = {"campaign_id": 1, "schedule_time": "2026-05-01T09:00", "schedule_type": "daily"}
    for path, body in (
        ("/api/accounts", account),
        ("/api/audiences", {"name": "R", "recipients": [{"email": "ann@example.com"}]}),
        ("/api/campaigns", campaign),
        ("/api/schedules", schedule),
        ("/api/schedules/1/run-now", {}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code in (201, 202), answer.text


def test_there_are_at_least_three_hundred() -> None:
    assert len(BAD_INPUTS) >= 300
    assert len({bad.name for bad in BAD_INPUTS}) == len(BAD_INPUTS)


def test_every_call_that_takes_something_is_among_them(client: FlaskClient) -> None:
    described = client.get("/api/openapi.json").json["paths"]
    taking = {
        (method.upper(), path)
        for path, item in described.items()
        for method, operation in item.items()
        if "requestBody" in operation
    }

    tried = {
        (bad.method, path)
        for bad in BAD_INPUTS
        for path in described
        if matches(bad.path.partition("?")[0], path)
    }

    assert taking - tried == set()


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.name)
def test_a_bad_input_is_a_problem_that_names_the_field(client: FlaskClient, bad: BadInput) -> None:
    answer = client.open(
        bad.path,
        method=bad.method,
        data=bad.body,
        content_type=bad.content_type,
        headers=bad.headers,
    )

    assert answer.status_code == bad.status, answer.text
    assert answer.mimetype == "application/problem+json"
    problem = answer.json
    assert problem["status"] == bad.status
    assert problem["title"]
    assert problem["detail"]
    if bad.field is not None:
        assert bad.field in [error["field"] for error in problem["errors"]], problem
    assert all(error["message"] for error in problem["errors"])


def test_nothing_has_happened(client: FlaskClient) -> None:
    counts = {path: len(client.get(path).json["items"]) for path in COUNTED}
    versions = [
        client.get(path).json["version"]
        for path in ("/api/accounts/2", "/api/audiences/1", "/api/campaigns/1", "/api/schedules/1")
    ]

    assert list(counts.values()) == [2, 1, 1, 1, 1, 1, 0, 0, 0, 0], counts
    assert versions == [1, 1, 1, 1]


def matches(path: str, template: str) -> bool:
    steps, wanted = path.split("/"), template.split("/")
    return len(steps) == len(wanted) and all(
        want.startswith("{") or want == step for step, want in zip(steps, wanted, strict=True)
    )
