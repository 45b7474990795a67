"""The one tree of errors that a person can be told about.

SendonceError
├── Invalid       422  what was given makes no sense: a list of field and message
├── NotSignedIn   401
├── Forbidden     403
├── NotFound      404
├── Conflict      409  it clashes with what is there already, or comes too late
├── Stale         412  it was made on an older version
├── TooLarge      413
├── TooMany       429
└── Unavailable   503  a store can't be written just now, or the process is stopping

A message says what happened and what to do, in that order, with the value that was wrong, and never holds a secret.
Everything else that is raised is a bug.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SendonceError(Exception):
    """A mistake that has a sentence. extra holds further members of the answer, as run_id."""

    title = "Something went wrong"

    def __init__(self, message: str, **extra: object) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong: the field's path as the client wrote it ("recipients[3].email"), and a sentence."""

    field: str
    message: str


class Invalid(SendonceError):
    """What was given makes no sense; errors names every wrong field."""

    title = "Some fields are wrong"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))
        self.errors = tuple(errors)

    @classmethod
    def field(cls, field: str, message: str) -> "Invalid":
        return cls([FieldError(field, message)])


class NotSignedIn(SendonceError):
    title = "Not signed in"


class Forbidden(SendonceError):
    title = "Not allowed"


class NotFound(SendonceError):
    title = "Not found"


class Conflict(SendonceError):
    title = "Conflict"


class Stale(SendonceError):
    title = "Changed meanwhile"


class TooLarge(SendonceError):
    title = "Too large"


class TooMany(SendonceError):
    title = "Too many requests"


class Unavailable(SendonceError):
    title = "Not available just now"
