"""What the columns of a CSV file are: by what their headings say, by what a person says, or by what is in them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from foundation.errors import Invalid

MAX_COLUMNS = 500
MAX_COLUMN_NAME = 200

_SURELY_AN_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

_EMAIL_COLUMNS = frozenset(
    (
        "email", "mail", "emailaddress", "mailaddress", "emailadresse", "mailadresse", "adresseemail",
        "adressemail", "adresseelectronique", "courriel", "correo", "correoelectronico", "email1", "emailid",
        "indirizzoemail", "emailadres", "epost", "epostadresse", "eposta", "enderecodeemail",
    )
)  # fmt: skip
_NAME_COLUMNS = frozenset(
    (
        "name", "fullname", "displayname", "vollername", "vollstandigername", "nom", "nomcomplet", "nombre",
        "nombrecompleto", "nome", "nomecompleto", "naam", "namn", "navn", "recipientname", "kontaktname",
    )
)  # fmt: skip


def roles_of(names: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """Say for each column what it is: "email", "name", "" (left out) or "=" and the attribute's name.

    mapping: a column's name -> "email", "name", an attribute's name, or "" to leave it out. What it does not say is
    told by the names. Raises Invalid on "file" or "mapping".
    """
    unknown = [column for column in mapping if column.strip() not in names]
    if unknown:
        raise Invalid.field(
            "mapping",
            f"There is no column {unknown[0]!r}. The columns are {', '.join(names)}.",
        )
    said = {column.strip(): target.strip() for column, target in mapping.items()}
    roles = [_role(said[name]) if name in said else None for name in names]
    for role, known, must in (("email", _EMAIL_COLUMNS, True), ("name", _NAME_COLUMNS, False)):
        if role in roles:
            continue
        fitting = [at for at, r in enumerate(roles) if r is None and _plain(names[at]) in known]
        if must and len(fitting) != 1:
            raise _which_address(names, [names[at] for at in fitting])
        if fitting:
            roles[fitting[0]] = role
    whole = [f"={name}" if role is None else role for name, role in zip(names, roles, strict=True)]
    twice = next((role for role in whole if role and whole.count(role) > 1), None)
    if twice is not None:
        raise Invalid.field(
            "mapping", f"Several columns become {twice.lstrip('=')!r}. Leave one out."
        )
    return whole


def guesses(names: Sequence[str], samples: Sequence[Sequence[str]]) -> list[str]:
    """Say for each column what it most likely is, as roles_of does, without a mistake: for a person to put right.

    samples: some of the values in each column, without the empty ones.
    """
    found = [f"={name}" for name in names]
    called_so = (at for at, name in enumerate(names) if is_email_column(name))
    holds_them = (at for at, values in enumerate(samples) if values and all_addresses(values))
    email_at = next(called_so, None)
    if email_at is None or (samples[email_at] and not all_addresses(samples[email_at])):
        email_at = next(holds_them, email_at)
    if email_at is not None:
        found[email_at] = "email"
    name_at = next((at for at, name in enumerate(names) if is_name_column(name)), None)
    if (
        len(names) == 2
        and email_at is not None
        and names[1 - email_at] == _without_name(1 - email_at)
    ):
        name_at = 1 - email_at
    if name_at is not None and name_at != email_at:
        found[name_at] = "name"
    for at, (name, values) in enumerate(zip(names, samples, strict=True)):
        if not values and name == _without_name(at):  # a separator at the end of each line
            found[at] = ""
    return found


def is_email_column(name: str) -> bool:
    """Say whether a column that is called so holds addresses."""
    return _plain(name) in _EMAIL_COLUMNS


def is_name_column(name: str) -> bool:
    """Say whether a column that is called so holds people's whole names."""
    return _plain(name) in _NAME_COLUMNS


def all_addresses(values: Sequence[str]) -> bool:
    """Say whether these look like addresses, all but a few."""
    fitting = sum(_SURELY_AN_ADDRESS.fullmatch(value.strip()) is not None for value in values)
    return fitting * 5 >= len(values) * 4


def _role(target: str) -> str:
    return target if target in ("email", "name", "") else f"={target}"


def column_names(header: Sequence[str]) -> list[str]:
    """Return what a heading calls the columns; one without a name gets one. Raises Invalid on "file"."""
    if len(header) > MAX_COLUMNS:
        raise Invalid.field("file", f"Line 1 names {len(header)} columns; at most {MAX_COLUMNS}.")
    names = [cell.strip() or _without_name(at) for at, cell in enumerate(header)]
    for name in names:
        if len(name) > MAX_COLUMN_NAME or any(unicodedata.category(c) == "Cc" for c in name):
            raise Invalid.field(
                "file",
                f"Line 1 holds {name[:40]!r}, which is no name for a column."
                " The first line must name the columns, as email,name.",
            )
        if names.count(name) > 1:
            raise Invalid.field(
                "file", f"Line 1 names two columns {name!r}. Give each column a name of its own."
            )
    return names


def _without_name(at: int) -> str:
    return f"column_{at + 1}"


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFD", name.casefold())
    return "".join(c for c in letters if c.isalnum())


def _which_address(names: Sequence[str], fitting: Sequence[str]) -> Invalid:
    if fitting:
        return Invalid.field(
            "mapping",
            f"Several columns may hold the address: {', '.join(fitting)}. Say which one is the email.",
        )
    shown = ", ".join(name[:40] for name in names[:20])
    return Invalid.field(
        "file",
        f"Line 1 names no column for the address. Call one of the columns email, or say which it is"
        f" in the mapping. The columns are {shown}.",
    )
