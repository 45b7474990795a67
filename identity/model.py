"""Who is asking: users, tokens, and the roles they have."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do; each role may do what the one before it may."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking. name is stable and names the caller in records ("token:3", "bootstrap").

    label is for people, where there is something better than the name: the token "deploy".
    """

    name: str
    role: Role
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token; of its secret only a hash is kept."""

    id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who can sign in. second_factor: signing in takes a code from an app too."""

    id: int
    version: int
    email: str
    role: Role
    disabled: bool
    created_at: datetime
    second_factor: bool
