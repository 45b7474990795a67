"""/search: what the field on top of every page finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from flask import Response, request

from mail.address import normalise_fast
from web import forms
from web.current import the_house
from web.fields import Query, QueryText
from web.page import Pages, go, show
from web.person import path_of, person
from web.search import KINDS, Group, search

pages = Pages("search")

OF_EACH = 10
OF_ONE = 100


class SearchQuery(Query):
    """What to look for. kind: only among these."""

    q: QueryText = ""
    kind: (
        Literal["recipients", "campaigns", "schedules", "runs", "audiences", "accounts"] | None
    ) = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A group as the page shows it. more_path: all of it, where more than these were found."""

    group: Group
    more_path: str | None
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """What was found. kind: in words, where only one kind was looked for; nobody: a whole address that nobody has."""

    q: str
    groups: Sequence[Found]
    kind: str | None
    every_path: str
    nobody: str | None


@pages.get("/search")
def find() -> Response:
    """Lead to the person with this address, or list all that has these letters in its name."""
    house = the_house()
    query = forms.checked(SearchQuery, request.args.to_dict())
    q = query.q.strip()
    is_whole = not isinstance(normalise_fast(q), str)
    if is_whole and query.kind is None:
        with house.database.read() as tx:
            known = person(tx, q, before=None, limit=1)
        if known.is_known:
            return go(path_of(known.email))
    most = OF_ONE if query.kind else OF_EACH
    groups = search(house, q, kind=query.kind, most=most) if q else []
    page = SearchPage(
        q=q,
        groups=[
            Found(
                group=group,
                more_path=_path(q=q, kind=group.key) if group.has_more and not query.kind else None,
                is_cut=group.has_more and query.kind is not None,
            )
            for group in groups
        ],
        kind=next((title for key, title, _ in KINDS if key == query.kind), None),
        every_path=_path(q=q),
        nobody=path_of(q) if is_whole else None,
    )
    return show("search.html", page=page, section="Search", searched=q)


def _path(**query: str) -> str:
    return f"/search?{urlencode(query)}"
