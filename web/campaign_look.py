"""What a campaign, saved or not, would be for one of its recipients, and what is worth a second look before it goes.

Made by the code that sends: campaigns.render.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from accounts import store as accounts
from accounts.model import Account, Kind
from assembly import Sendonce
from audience import store as audiences
from audience import suppressions
from audience.model import Recipient
from campaigns.model import Content, Snapshot
from campaigns.render import Compiled, RecipientView, RenderError, compile_content
from campaigns.review import mail_size_bytes, review, shows_bare_name
from foundation.errors import FieldError, Invalid
from storage.database import Tx
from web.shown import many, number, viewers_zone

MOST_LOOKED_AT = 500
MOST_READERS = 50
MOST_FIELDS = 30

_COUNT_AT_MOST = timedelta(
    seconds=0.3
)  # each person is a rendering, and somebody waits while they type

_NOBODY = RecipientView(email="recipient@example.com", name="", attributes={})
_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_FIELDS = (
    ('{{ name or "there" }}', "the name, or “there” for those who have none"),
    ("{{ recipient.name }}", "the name"),
    ("{{ recipient.email }}", "the address"),
)
_FIELDS_AFTER = (
    ("{{ campaign.name }}", "the name of this campaign"),
    ("{{ slot }}", "when it was due, in the schedule's zone"),
    ('<a href="{{ unsubscribe_url }}">Unsubscribe</a>', "a link that unsubscribes, for the HTML"),
    ("{{ unsubscribe_url }}", "its address, for a text"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One recipient's mail and what is to be said about it.

    content is None where a template has a mistake; problems then name the field. size: about so many bytes it would
    have on its way, with what is attached. readers: whose mail may be looked at.
    fields: what a template may say, and what that is.
    """

    reader: str
    readers: Sequence[str]
    fields: Sequence[tuple[str, str]]
    sender: str | None
    content: Content | None
    attached: int
    size: int | None
    problems: Sequence[FieldError]
    hints: Sequence[str]
    summary: str


def look_at(house: Sendonce, snapshot: Snapshot, reader: str | None) -> Look:
    """Show the content to this recipient of its audiences, or to the first one."""
    with house.database.read() as tx:
        ids = [i for i in audiences.by_id(tx) if i in set(snapshot.audience_ids)]
        people = _some_people(tx, ids)
        member, hints = _reader(tx, ids, people, reader)
        senders = _senders(house, tx, snapshot.account_ids)
    view = _view(member) if member else _NOBODY
    content, problems, compiled = _rendered(house, snapshot, view)
    if compiled is not None and content is not None:
        own = f"{house.public_url}/"
        hints += [caution.message for caution in review(snapshot, content, ours=own)]
        hints += _unreachable(house.public_url, senders)
        hints += _lacking(house, compiled, snapshot, people)
    return Look(
        reader=view.email,
        readers=[person.email for person in people[:MOST_READERS]],
        fields=[*_FIELDS, *_attributes(people[:MOST_READERS]), *_FIELDS_AFTER],
        sender=_from(snapshot, senders),
        content=content,
        attached=len(snapshot.attachments),
        size=mail_size_bytes(content, snapshot.attachments) if content else None,
        problems=problems,
        hints=hints,
        summary=_summary(len(problems), len(hints)),
    )


def _some_people(tx: Tx, ids: Sequence[int]) -> list[Recipient]:
    """Return the first people of these audiences as a run takes them: each once, nobody who is suppressed."""
    ceiling = audiences.highest_recipient_id(tx, ids)
    found = audiences.members(tx, ids, after=0, ceiling=ceiling, limit=MOST_LOOKED_AT)
    gone = suppressions.which_suppressed(tx, [member.address_key for member in found])
    people: dict[str, Recipient] = {}
    for member in found:
        if member.address_key not in gone:
            people.setdefault(member.address_key, member)
    return list(people.values())


def _reader(
    tx: Tx, ids: Sequence[int], people: Sequence[Recipient], email: str | None
) -> tuple[Recipient | None, list[str]]:
    first = people[0] if people else None
    if not ids:
        return None, [
            "No audience is chosen: this is for somebody of whom only the address is known."
        ]
    if email is not None:
        try:
            found = audiences.find(tx, ids, email)
        except Invalid:
            found = None
        if found is not None:
            return found, []
        return first, [f"{email} is not in the chosen audiences. Choose somebody who is."]
    if first is None:
        return None, ["Nobody is in the chosen audiences yet: add people before this is sent."]
    return first, []


def _view(member: Recipient) -> RecipientView:
    return RecipientView(email=member.email, name=member.name, attributes=member.attributes)


def _senders(house: Sendonce, tx: Tx, ids: Sequence[int]) -> list[Account]:
    known = set(ids) - set(accounts.missing(tx, ids))
    return [accounts.get(tx, i, house.key) for i in dict.fromkeys(ids) if i in known]


def _from(snapshot: Snapshot, senders: Sequence[Account]) -> str | None:
    if not senders:
        return None
    name = snapshot.from_name or senders[0].from_name
    return f"{name} <{senders[0].from_email}>" if name else senders[0].from_email


def _rendered(
    house: Sendonce, snapshot: Snapshot, view: RecipientView
) -> tuple[Content | None, list[FieldError], Compiled | None]:
    try:
        compiled = compile_content(snapshot)
    except Invalid as error:
        return None, list(error.errors), None
    slot = house.clock.now().replace(microsecond=0).astimezone(ZoneInfo(viewers_zone()))
    try:
        content = compiled.render(view, slot, f"{house.public_url}/u/preview")
    except RenderError as error:
        said = f"{error.message} (for {view.email}; others may be fine)"
        return None, [FieldError(error.field, said)], None
    return content, [], compiled


def _unreachable(public_url: str, senders: Sequence[Account]) -> Iterator[str]:
    is_real = any(account.kind is Kind.SMTP for account in senders)
    if is_real and not public_url.startswith("https:"):
        yield (
            f"The unsubscribe link begins with {public_url}, which readers may not reach. Set SENDONCE_PUBLIC_URL"
            " to the https address of this server."
        )


def _lacking(
    house: Sendonce, compiled: Compiled, snapshot: Snapshot, people: Sequence[Recipient]
) -> Iterator[str]:
    """Say how many people lack what the campaign looks up, of as many as there is time to look at."""
    count: Counter[str] = Counter()
    looked_at = 0
    bare_name = shows_bare_name(snapshot)
    until = house.clock.elapsed() + _COUNT_AT_MOST
    for person in people:
        if looked_at and house.clock.elapsed() >= until:
            break
        looked_at += 1
        try:
            count.update(compiled.lacking(_view(person)))
        except RenderError as error:
            yield (
                f"The mail can't be made for {person.email}, and would fail for them: the {error.field},"
                f" {error.message}."
            )
            break
        if bare_name and not person.name:
            count["name"] += 1
    is_all = looked_at == len(people) < MOST_LOOKED_AT
    of = "" if is_all else f" of the first {number(looked_at)}"
    for name, lack in count.items():
        verb = "has" if lack == 1 else "have"
        yield f"{many(lack, 'person')}{of} {verb} no {name}: it is empty in their mail."


def _attributes(people: Iterable[Recipient]) -> Iterator[tuple[str, str]]:
    paths = dict.fromkeys(
        path for person in people for path in _paths(person.attributes, "recipient.attributes")
    )
    for path in [*paths][:MOST_FIELDS]:
        yield f"{{{{ {path} }}}}", "an attribute"


def _paths(attributes: Mapping[str, object], before: str) -> Iterator[str]:
    for key, value in attributes.items():
        if '"' in key or "\\" in key or "{" in key or "}" in key or "%" in key:
            continue
        path = f"{before}.{key}" if _PLAIN_KEY.fullmatch(key) else f'{before}["{key}"]'
        if isinstance(value, dict) and before.count(".") < 2:
            yield from _paths(value, path)
        else:
            yield path


def _summary(problems: int, hints: int) -> str:
    told = [many(count, noun) for count, noun in ((problems, "problem"), (hints, "hint")) if count]
    return ", ".join(told) or "No problems found"
