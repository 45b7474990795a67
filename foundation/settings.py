"""What can be set from outside: one frozen dataclass, read once at the start.

Environment variables are named SENDONCE_ and the field's name in capitals; a command's flags win over them.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from foundation.errors import FieldError, Invalid

PREFIX = "SENDONCE_"
SCHEDULER_CHECK_INTERVAL = timedelta(seconds=1)
EXECUTION_BUFFER = timedelta(seconds=30)
DEFAULT_DATA_DIR = Path("data")
SHORTEST_SECRET_KEY = 8

_PUBLIC_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f/?#]+(/[^\s\x00-\x1f\x7f?#]*)?")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_Seconds = Annotated[float, Field(ge=0, le=10 * 365 * 86400, allow_inf_nan=False)]

_SAYS = {
    "float_parsing": "must be a number of seconds, as 30 or 0.5",
    "float_type": "must be a number of seconds, as 30 or 0.5",
    "finite_number": "must be a number of seconds, as 30 or 0.5",
    "greater_than": "must be more than {gt:g} seconds",
    "greater_than_equal": "must be at least {ge:g} seconds",
    "less_than_equal": "must be at most {le:.0f} seconds",
    "literal_error": "must be {expected}",
}
"""What is said instead of pydantic's own words, by its kind of error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; durations are timedeltas, paths absolute."""

    data_dir: Path
    scheduler_check_interval: timedelta
    execution_buffer: timedelta
    catch_up_window: timedelta
    retry_delay: timedelta
    give_up_after: timedelta
    state_dir: Path
    # Never part of a text that is made of the settings: it could end up in a log.
    secret_key: str | None = field(repr=False)
    secret_key_old: str | None = field(repr=False)
    public_url: str | None
    bootstrap_token: str | None = field(repr=False)
    log_format: Literal["console", "json"]

    @classmethod
    def load(
        cls, environ: Mapping[str, str], flags: Mapping[str, object | None] | None = None
    ) -> "Settings":
        """Read the settings; a flag that is None was not given.

        Raises Invalid with one sentence for each setting that is unknown or makes no sense.
        """
        given: dict[str, object] = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        given |= {name: value for name, value in (flags or {}).items() if value is not None}
        try:
            texts = _Texts.model_validate(given)
        except ValidationError as error:
            raise Invalid(
                [_explain(e["loc"], e["type"], e["msg"], e.get("ctx", {})) for e in error.errors()]
            ) from None
        data_dir = texts.data_dir.expanduser().resolve()
        state_dir = (texts.state_dir or _state_dir(environ)).expanduser().resolve()
        if state_dir.is_relative_to(data_dir):
            raise Invalid.field(
                f"{PREFIX}STATE_DIR",
                f"must be outside of the data directory {data_dir}, not {state_dir}: what is kept there has to survive"
                " when the data directory is put back from a backup",
            )
        return cls(
            data_dir=data_dir,
            scheduler_check_interval=timedelta(seconds=texts.scheduler_check_interval),
            execution_buffer=timedelta(seconds=texts.execution_buffer),
            catch_up_window=timedelta(seconds=texts.catch_up_window),
            retry_delay=timedelta(seconds=texts.retry_delay),
            give_up_after=timedelta(seconds=texts.give_up_after),
            state_dir=state_dir,
            secret_key=texts.secret_key,
            secret_key_old=texts.secret_key_old,
            public_url=texts.public_url,
            bootstrap_token=texts.bootstrap_token,
            log_format=texts.log_format,
        )


class _Texts(BaseModel):
    """The settings as they are written outside."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    data_dir: Path = DEFAULT_DATA_DIR
    scheduler_check_interval: float = Field(
        SCHEDULER_CHECK_INTERVAL.total_seconds(), ge=0.05, le=60, allow_inf_nan=False
    )
    execution_buffer: _Seconds = EXECUTION_BUFFER.total_seconds()
    catch_up_window: _Seconds = 3600.0
    retry_delay: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] = 60.0
    give_up_after: _Seconds = 259200.0
    state_dir: Path | None = None
    database_url: str | None = None
    secret_key: str | None = None
    secret_key_old: str | None = None
    public_url: str | None = None
    bootstrap_token: str | None = None
    log_format: Literal["console", "json"] = "console"

    @field_validator("data_dir", "state_dir", mode="before")
    @classmethod
    def _is_named(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty; give a folder, or unset it")
        return value

    @field_validator("database_url")
    @classmethod
    def _only_sqlite(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError(
                "is not supported by this version: it keeps everything in SQLite in the data"
                " directory. Unset it"
            )
        return value

    @field_validator("public_url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _PUBLIC_URL.fullmatch(value):
            raise ValueError(
                "must be a URL as https://mail.example.com, without a query (?) or a fragment (#)"
            )
        return value.rstrip("/")

    @field_validator("secret_key", "secret_key_old")
    @classmethod
    def _is_no_guess(cls, value: str | None) -> str | None:
        if value is not None and len(value) < SHORTEST_SECRET_KEY:
            raise ValueError(
                f"is too short: a key has at least {SHORTEST_SECRET_KEY} characters. Give one, or unset it"
            )
        return value

    @field_validator("bootstrap_token")
    @classmethod
    def _goes_into_a_header(cls, value: str | None) -> str | None:
        if value is not None and not _TOKEN.fullmatch(value):
            raise ValueError(
                "must be printable ASCII characters without blanks: a client sends it in a header"
            )
        return value


def _explain(
    loc: tuple[int | str, ...], kind: str, message: str, values: Mapping[str, object]
) -> FieldError:
    name = PREFIX + str(loc[0]).upper()
    if kind == "extra_forbidden":
        return FieldError(name, "is not a setting; see the README for the names. Unset it")
    if kind in _SAYS:
        return FieldError(name, _SAYS[kind].format(**values).replace("'", ""))
    return FieldError(name, message.removeprefix("Value error, "))


def _state_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME") or os.path.join("~", ".local", "state")  # noqa: PTH118 - "~" is expanded by the caller
    return Path(base) / "sendonce"
