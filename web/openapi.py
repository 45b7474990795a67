"""Calls of the API, and the document that describes them, made from the same declarations.

A room's calls are declared on a Resource: what comes in is the handler's signature (path, query, body, form), what goes
out and which role it needs stand in the decorator. The document names every mistake as application/problem+json.
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, get_type_hints

from flask import Flask, Response, current_app, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.info import Info
from flask_openapi.models.security_scheme import SecurityScheme
from flask_openapi.models.tag import Tag
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel, Field
from werkzeug.exceptions import UnsupportedMediaType

from foundation.errors import FieldError, Invalid
from foundation.version import VERSION
from identity.model import Role
from web import wording
from web.fields import Answer
from web.guards import for_role
from web.strict_json import StrictRequest

P = ParamSpec("P")

_TAKES_FORM = "sendonce_takes_form"

_SECURITY: dict[str, SecurityScheme | dict[str, Any]] = {
    "bearer": SecurityScheme(type="http", scheme="bearer", description="An API token.")
}
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeat with the same key and body returns the first answer, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_VERSION_HEADER = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": 'The version that is meant, in quotes: "3". An old one is a 412.',
    "schema": {"type": "string"},
}
_MISTAKES = {
    "400": "The request can't be read",
    "401": "No API token, or one that is not good",
    "403": "The token's role does not reach",
    "404": "There is no such thing",
    "409": "It clashes with what is there, or comes too late",
    "412": "It was made on an older version",
    "413": "Larger than 16 MiB, or more than 10,000 recipients",
    "415": "A body of the wrong type",
    "422": "Some fields are wrong; errors names each",
    "500": "A fault of Sendonce; its log has the trace under the reference",
    "503": "A store can't be written just now",
}


class ProblemError(Answer):
    """One thing that is wrong."""

    field: str
    message: str


class Problem(Answer):
    """A mistake (RFC 9457). Some have further members, as run_id."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = Field(description="Every field that is wrong")


class App(OpenAPI):
    """The Flask application; describes its calls at /api/openapi.json."""

    request_class = StrictRequest

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(
            name,
            info=Info(title="Sendonce", version=VERSION),
            security_schemes=_SECURITY,
            openapi_extensions={"security": [{"bearer": []}]},
            validation_error_callback=wording.refuse,
            validation_error_model=Problem,
            doc_ui=False,
            **options,
        )

    def generate_spec_json(self) -> None:
        """Make the document: the library's, with our mistakes and headers."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # the library's
        for path, item in self.spec_json["paths"].items():
            for method, operation in item.items():
                _describe_mistakes(operation, path=path, method=method)
                _describe_headers(operation, method=method)
        self.spec_json["components"]["responses"] = {
            status: _as_problem(words) for status, words in _MISTAKES.items()
        }
        for schema in self.spec_json["components"]["schemas"].values():
            schema.pop("$defs", None)  # they stand beside it


def install(app: Flask) -> None:
    """Refuse whatever is no form where a form is wanted; JSON is looked at when it is read."""
    app.before_request(_refuse_other_than_form)


class Resource:
    """The calls about one thing. A handler returns a model, a whole Response, or None for 204."""

    def __init__(self, name: str, says: str) -> None:
        self.blueprint = APIBlueprint(name, __name__, abp_tags=[Tag(name=name, description=says)])

    def get(
        self, rule: str, answer: type[BaseModel] | str, *, role: Role = Role.VIEWER
    ) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
        """Declare a call that changes nothing. answer is a model, or the media type of what is streamed."""
        return self._call("get", rule, answer=answer, status=200, role=role)

    def post(
        self,
        rule: str,
        answer: type[BaseModel] | None,
        *,
        status: int = 200,
        or_status: int | None = None,
        role: Role = Role.EDITOR,
    ) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
        """Declare a call that makes or does something.

        or_status is for one that may find it done already: it then returns its answer as_json with that status.
        """
        return self._call(
            "post", rule, answer=answer, status=status, or_status=or_status, role=role
        )

    def patch(
        self, rule: str, answer: type[BaseModel], *, role: Role = Role.EDITOR
    ) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
        """Declare a call that changes the fields it is given."""
        return self._call("patch", rule, answer=answer, status=200, role=role)

    def delete(
        self, rule: str, *, role: Role = Role.EDITOR
    ) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
        """Declare a call that takes something away."""
        return self._call("delete", rule, answer=None, status=204, role=role)

    def _call(
        self,
        method: str,
        rule: str,
        *,
        answer: type[BaseModel] | str | None,
        status: int,
        role: Role,
        or_status: int | None = None,
    ) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
        def decorate(handler: Callable[P, Any]) -> Callable[P, Any]:
            view = for_role(_view(handler, status=status), role)
            setattr(view, _TAKES_FORM, "form" in get_type_hints(handler))
            described: Any = answer
            if isinstance(answer, str):
                described = {"content": {answer: {"schema": {"type": "string"}}}}
            statuses = [s for s in (status, or_status) if s is not None]
            responses = dict.fromkeys(statuses, described)
            getattr(self.blueprint, method)(rule, responses=responses)(view)
            return handler

        return decorate


def _view(handler: Callable[P, Any], *, status: int) -> Callable[P, Response]:
    takes = get_type_hints(handler)

    @functools.wraps(handler)
    def view(*args: P.args, **kwargs: P.kwargs) -> Response:
        _refuse_what_is_not_taken(takes)
        result = handler(*args, **kwargs)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status=status)
        return as_json(result, status=status)

    return view


def as_json(result: BaseModel, *, status: int) -> Response:
    """Return the whole answer that a model makes."""
    answer = Response(result.model_dump_json(), status=status, mimetype="application/json")
    version = getattr(result, "version", None)
    if version is not None:
        answer.headers["ETag"] = f'"{version}"'
    return answer


def _refuse_other_than_form() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, _TAKES_FORM, False) and request.mimetype != "multipart/form-data":
        raise UnsupportedMediaType("The body must be multipart/form-data with a file.")


def _refuse_what_is_not_taken(takes: Mapping[str, Any]) -> None:
    given = Counter(name for name, _ in request.args.items(multi=True))
    errors = [] if "query" in takes else [_not_taken(name) for name in given]
    if "form" in takes:
        given.update(name for name, _ in request.form.items(multi=True))
        given.update(name for name, _ in request.files.items(multi=True))
    errors += [
        FieldError(name, "is given more than once") for name, count in given.items() if count > 1
    ]
    if errors:
        raise Invalid(errors)
    if request.method in ("POST", "PATCH") and not takes.keys() & {"body", "form"}:
        body = request.get_json()
        if body:
            raise Invalid([_not_taken(name) for name in body])


def _not_taken(name: str) -> FieldError:
    return FieldError(name, "is not a field of this call")


def _describe_mistakes(operation: dict[str, Any], *, path: str, method: str) -> None:
    statuses = {"401", "403", "500", "503"}
    if "{" in path:
        statuses |= {"404"}
    if method in ("post", "patch"):
        statuses |= {"400", "413", "415"}
    if method != "get":
        statuses |= {"409"}
    if method in ("patch", "delete"):
        statuses |= {"412"}
    statuses |= {"422"}  # a query parameter that is not known, on any call
    for status in sorted(statuses):
        operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}


def _describe_headers(operation: dict[str, Any], *, method: str) -> None:
    if method == "post":
        operation.setdefault("parameters", []).append(_KEY_HEADER)
    if method in ("patch", "delete"):
        operation.setdefault("parameters", []).append(_VERSION_HEADER)


def _as_problem(words: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": words, "content": content}
