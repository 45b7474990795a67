import re
from collections.abc import Iterator
from typing import Any

from flask.testing import FlaskClient

from assembly import Sendonce
from tests.house import app_of


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def document(client: FlaskClient) -> dict[str, Any]:
    return client.get("/api/openapi.json").json


def test_every_call_is_described(house: Sendonce, client: FlaskClient) -> None:
    described = {
        (method.upper(), path)
        for path, item in document(client)["paths"].items()
        for method in item
    }
    routes = {
        (method, re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule))
        for rule in app_of(house).url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/api/") and method not in ("HEAD", "OPTIONS")
    }

    assert routes - described == {("GET", "/api/openapi.json"), ("GET", "/api/docs")}
    assert described <= routes


def test_every_reference_leads_somewhere(client: FlaskClient) -> None:
    described = document(client)

    for ref in set(refs(described)):
        node: Any = described
        for step in ref.removeprefix("#/").split("/"):
            node = node[step]


def test_every_mistake_is_a_problem_and_every_success_has_a_shape(client: FlaskClient) -> None:
    described = document(client)

    for item in described["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert answer == {"$ref": f"#/components/responses/{status}"}
                elif status != "204":
                    assert answer["content"], operation["operationId"]
    assert described["security"] == [{"bearer": []}]


def test_a_password_is_in_what_goes_in_and_not_in_what_comes_out(client: FlaskClient) -> None:
    schemas = document(client)["components"]["schemas"]

    assert "password" in schemas["NewAccount"]["properties"]
    assert "password" not in schemas["AccountAnswer"]["properties"]


def test_a_field_of_a_change_that_can_not_be_null_does_not_say_null(client: FlaskClient) -> None:
    fields = document(client)["components"]["schemas"]["CampaignChanges"]["properties"]

    assert "default" not in fields["name"]
    assert (
        "default"
        in document(client)["components"]["schemas"]["NewCampaign"]["properties"]["in_doubt"]
    )


def test_the_page_shows_every_call(client: FlaskClient) -> None:
    page = client.get("/api/docs")

    assert page.status_code == 200
    for path in document(client)["paths"]:
        assert path in page.text
    assert "<script" not in page.text


def test_ids_of_operations_are_unique(client: FlaskClient) -> None:
    ids = [
        operation["operationId"]
        for item in document(client)["paths"].values()
        for operation in item.values()
    ]

    assert len(ids) == len(set(ids))
