"""/api/openapi.json, and /api/docs: the same document for people. No script, nothing from elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, render_template

from foundation.version import VERSION
from identity.model import Role
from web.guards import for_role
from web.openapi import App

blueprint = Blueprint("docs", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, or a field of a body or an answer."""

    name: str
    kind: str
    says: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as the page shows it."""

    method: str
    path: str
    summary: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[tuple[str, str, tuple[Field, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The calls about one thing."""

    name: str
    says: str
    calls: tuple[Call, ...]


def _document() -> dict[str, Any]:
    return cast(App, current_app).api_doc


def openapi_json() -> Response:
    """Give the OpenAPI document."""
    return jsonify(_document())


def docs() -> Response:
    """Show the OpenAPI document to a person."""
    page = render_template("pages/api_docs.html", sections=sections(_document()), version=VERSION)
    return Response(page, mimetype="text/html")


blueprint.add_url_rule("/api/openapi.json", view_func=for_role(openapi_json, Role.VIEWER))
blueprint.add_url_rule("/api/docs", view_func=for_role(docs, Role.VIEWER))


def sections(document: dict[str, Any]) -> list[Section]:
    """Return what the document says, by tag, in its order."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    calls: dict[str, list[Call]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            call = _call(method, path, operation, schemas)
            calls[operation["tags"][0]].append(call)
    return [
        Section(
            name=tag["name"],
            says=tag.get("description", ""),
            calls=tuple(calls[tag["name"]]),
        )
        for tag in document["tags"]
    ]


def _call(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Call:
    body = operation.get("requestBody", {}).get("content", {})
    return Call(
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        parameters=tuple(
            Field(
                name=parameter["name"],
                kind=f"{parameter['in']}, {_kind(parameter.get('schema', {}))}",
                says=parameter.get("description", ""),
                required=parameter.get("required", False),
            )
            for parameter in operation.get("parameters", [])
        ),
        body=tuple(_fields(body, schemas)),
        answers=tuple(
            (
                status,
                answer.get("description", ""),
                tuple(_fields(answer.get("content", {}), schemas)),
            )
            for status, answer in operation["responses"].items()
            if status < "400"
        ),
    )


def _fields(content: dict[str, Any], schemas: dict[str, Any]) -> Iterator[Field]:
    for media in content.values():
        schema = media.get("schema", {})
        known = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
        for name, field in known.get("properties", {}).items():
            yield Field(
                name=name,
                kind=_kind(field),
                says=field.get("description", ""),
                required=name in known.get("required", []),
            )


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(str(one) for one in schema["enum"])
    kind = str(schema.get("type", "anything"))
    return f"list of {_kind(schema['items'])}" if kind == "array" and "items" in schema else kind
