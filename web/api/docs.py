"""/api/openapi.json, and /api/docs: the same document for people. No script of its own, nothing from elsewhere."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request

from foundation.version import VERSION
from identity.model import Role
from web import sessions
from web.curl import curl
from web.current import the_house
from web.guards import for_role
from web.openapi import App
from web.page import show

blueprint = Blueprint("docs", __name__)

_KINDS = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}
_FORMATS = {"date-time": "time", "binary": "file"}
_MULTIPART = "multipart/form-data"
_LONGEST_SEARCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, or a field of a body or an answer. shape: the name of the shape that it holds, if it holds one."""

    name: str
    kind: str
    shape: str | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer that is no mistake: its status and its shape, or its media type."""

    status: str
    shape: str | None
    media: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as the page shows it."""

    id: str
    method: str
    path: str
    summary: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answers: tuple[Given, ...]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The calls about one thing."""

    name: str
    title: str
    says: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an answer holds, or a part of one or of a body."""

    name: str
    says: str
    fields: tuple[Field, ...]


def _document() -> dict[str, Any]:
    return cast(App, current_app).api_doc


def _with(q: str, every: Iterable[Section]) -> list[Section]:
    found = [
        replace(section, calls=tuple(call for call in section.calls if _has(call, q)))
        for section in every
    ]
    return [section for section in found if section.calls]


def _has(call: Call, q: str) -> bool:
    return q.casefold() in f"{call.method} {call.path} {call.summary}".casefold()


def openapi_json() -> Response:
    """Give the OpenAPI document."""
    return jsonify(_document())


def docs() -> Response:
    """Show the OpenAPI document to a person: with the navigation around it for who is signed in.

    ?q= shows the calls alone that have these letters in their method, path or summary.
    """
    q = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    document = _document()
    # What a client writes into Host is shown to nobody where it is known what the address is.
    host = the_house().settings.public_url or request.host_url.removesuffix("/")
    return show(
        "api_docs.html",
        sections=_with(q, sections(document, host=host)),
        q=q,
        shapes=shapes(document),
        mistakes=[
            (status, mistake["description"])
            for status, mistake in document["components"]["responses"].items()
        ],
        version=VERSION,
        host=host,
        with_shell=sessions.current() is not None,
    )


blueprint.add_url_rule("/api/openapi.json", view_func=for_role(openapi_json, Role.VIEWER))
blueprint.add_url_rule("/api/docs", view_func=for_role(docs, Role.VIEWER))


def sections(document: dict[str, Any], *, host: str) -> list[Section]:
    """Return what the document says, by tag, in its order; examples ask this host."""
    reader = _Reader(document["components"]["schemas"])
    calls: dict[str, list[Call]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            call = reader.call(method.upper(), path, operation, host)
            calls[operation["tags"][0]].append(call)
    return [
        Section(
            name=tag["name"],
            title=tag["name"].capitalize(),
            says=tag.get("description", ""),
            calls=tuple(calls[tag["name"]]),
        )
        for tag in document["tags"]
    ]


def shapes(document: dict[str, Any]) -> list[Shape]:
    """Return what answers, and fields of bodies, hold: by name, each with the shapes within it."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    reader = _Reader(schemas)
    operations = [op for item in document["paths"].values() for op in item.values()]
    bodies = [name for op in operations for name in _refs(op.get("requestBody"))]
    wanted = [
        *(name for body in bodies for name in _refs(schemas[body])),
        *(
            name
            for op in operations
            for status, answer in op["responses"].items()
            if status < "400"
            for name in _refs(answer)
        ),
    ]
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in seen and "properties" in schemas.get(name, {}):
            seen.add(name)
            wanted += _refs(schemas[name])
    return [
        Shape(
            name=name,
            says=schemas[name].get("description", ""),
            fields=tuple(reader.fields(schemas[name], tells_required=False)),
        )
        for name in sorted(seen)
    ]


class _Reader:
    """Reads operations with the schemas that they name."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas

    def call(self, method: str, path: str, operation: dict[str, Any], host: str) -> Call:
        content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
        body = next((_name(media["schema"]) for media in content.values()), None)
        schema = self._schemas.get(body or "", {})
        # What stands in the path is seen there, and two headers are told once for all calls.
        parameters = [p for p in operation.get("parameters", []) if p["in"] == "query"]
        return Call(
            id=f"{method.lower()}{path}".replace("/", "-").replace("{", "").replace("}", ""),
            method=method,
            path=path,
            summary=operation.get("summary", ""),
            parameters=tuple(self._parameter(p) for p in parameters),
            body=tuple(self.fields(schema, tells_required=True)),
            answers=tuple(_answers(operation["responses"])),
            example=curl(
                method,
                f"{host}{path}",
                body=body,
                schema=schema,
                as_form=_MULTIPART in content,
            ),
        )

    def fields(self, schema: dict[str, Any], *, tells_required: bool) -> Iterator[Field]:
        required = schema.get("required", []) if tells_required else []
        for name, field in schema.get("properties", {}).items():
            notes = ["required"] if name in required else []
            if field.get("default") not in (None, ""):
                notes.append(f"default {_as_written(field['default'])}")
            yield Field(
                name=name,
                kind=", ".join([self._kind(field), *notes]),
                shape=next((ref for ref in _refs(field) if self._is_shape(ref)), None),
                says=_sentence(field),
            )

    def _parameter(self, parameter: dict[str, Any]) -> Field:
        schema = parameter.get("schema", {})
        default = schema.get("default")
        notes = [] if default is None else [f"default {_as_written(default)}"]
        kind = self._kind(schema).removesuffix(" or null")
        return Field(
            name=parameter["name"],
            kind=", ".join([kind, *notes]),
            shape=None,
            says=parameter.get("description", ""),
        )

    def _is_shape(self, name: str) -> bool:
        return "properties" in self._schemas.get(name, {})

    def _kind(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            name = _name(schema)
            found = self._schemas.get(name, {})
            return name if "properties" in found else self._kind(found)
        if "anyOf" in schema:
            return " or ".join(self._kind(one) for one in schema["anyOf"])
        if "enum" in schema:
            return " or ".join(str(one) for one in schema["enum"])
        kind = str(schema.get("type", "anything"))
        if kind == "array" and "items" in schema:
            return f"list of {self._kind(schema['items'])}"
        return _FORMATS.get(str(schema.get("format")), _KINDS.get(kind, kind))


def _answers(responses: dict[str, Any]) -> Iterator[Given]:
    for status, answer in responses.items():
        if status >= "400":
            continue
        content: dict[str, Any] = answer.get("content", {})
        media = next(iter(content), None)
        shape = _name(content[media].get("schema", {})) if media else ""
        yield Given(status=status, shape=shape or None, media=None if shape else media)


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _refs(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield _name(node)
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def _sentence(field: dict[str, Any]) -> str:
    told: Iterable[str] = (
        one["description"] for one in (field, *field.get("anyOf", ())) if "description" in one
    )
    return next(iter(told), "")


def _as_written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
