"""The outbox in short, kept in memory: what a list, a search or a count asks of every message is read from it once.

A file in a Maildir never changes, so what was read stays right until the file is gone. One object serves a process, in
any number of threads; each process has its own.
"""

import os
import re
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from operator import neg
from pathlib import Path

from foundation.clock import Clock
from mail.outbox import RUN_HEADER, SCAN_LIMIT, OutboxItem, decoded, places, read_items

KNOWN_AT_MOST = 100_000
"""Messages that are kept in mind, the newest ones: some 60 MB. Older ones are listed, but neither found nor counted."""

_HEAD_BYTES = 8192
_NAMED_AT_MOST = 5
_SETTLED_AFTER = timedelta(seconds=2)  # no file system's times are coarser
_NAME = re.compile(r"[1-9][0-9]{0,15}")
_RUN_ID = re.compile(r"[0-9]{1,18}")
_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:(.*(?:\r?\n[ \t].*)*)(?:\r?\n|\Z)")
_SEARCHED = frozenset({"subject", "from", "to", "return-path", "delivered-to"})
_ENDS_ENVELOPE = "received"


@dataclass(frozen=True, slots=True)
class _Short:
    """A message as it is kept in mind. mail: what makes it one mail, together with a recipient."""

    run_id: int | None
    recipients: tuple[str, ...]
    mail: int | str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxCount:
    """Who got how much of what was looked at.

    duplicates: mails beside the first that one person got of one run, or under one Message-ID where no run sent it;
    twice: some of those people. looked_at is how many of the total; can_go_on: the next look sees more of them.
    """

    messages: int
    people: int
    duplicates: int
    twice: tuple[str, ...]
    looked_at: int
    total: int
    can_go_on: bool


class OutboxIndex:
    """What is in one outbox."""

    def __init__(self, outbox: Path, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._lock = threading.Lock()
        # What the last listing found, so that the next one looks only at what is new.
        self._names: set[str] = set()
        # Newest first. Replaced, never changed: readers hold on to theirs.
        self._ids: list[int] = []
        self._known: dict[int, _Short] = {}
        self._counts: dict[int | None, OutboxCount] = {}
        self._stamp: object = None
        self._stamped_at = timedelta(0)
        self._is_settled = False

    def look(self, *, read: int = SCAN_LIMIT, or_nothing: bool = False) -> None:
        """Bring the index up to date; of messages not known yet the newest are read, so many at most.

        or_nothing: none is read where that would not be all of them.
        """
        with self._lock:
            self._list()
            unknown = [n for n in self._ids[:KNOWN_AT_MOST] if n not in self._known]
            if or_nothing and len(unknown) > read:
                return
            fresh = {n: self._short(n) for n in unknown[:read]}
            if fresh:
                self._counts.clear()
                self._known |= {n: short for n, short in fresh.items() if short}
                self._leave_out({n for n, short in fresh.items() if short is None})

    def find(
        self, *, q: str | None, run_id: int | None, before: int | None, limit: int
    ) -> list[OutboxItem]:
        """Return up to limit messages, newest first, only ids below before; of a run, or with q in their heads."""
        ids = self._ids
        start = 0 if before is None else bisect_right(ids, -before, key=neg)
        wanted = (q or "").strip().casefold()
        if not wanted and run_id is None:
            chosen: Iterator[int] = islice(ids, start, None)
        else:
            chosen = self._chosen(ids, start, wanted, run_id)
        return list(islice(read_items(self._outbox, chosen), limit))

    def neighbours(self, id: int, *, run_id: int | None) -> tuple[int | None, int | None]:
        """Return the next newer and the next older message, of the run where one is given."""
        ids = self._ids if run_id is None else list(self._chosen(self._ids, 0, "", run_id))
        after = bisect_right(ids, -id, key=neg)
        at = after - 1 if after and ids[after - 1] == id else after
        newer = ids[at - 1] if at else None
        return newer, ids[after] if after < len(ids) else None

    def newest(self) -> tuple[int | None, int]:
        """Return the newest id, and how many messages there are."""
        ids = self._ids
        return (ids[0] if ids else None), len(ids)

    def count(self, *, run_id: int | None) -> OutboxCount:
        """Count what was looked at, of one run or all."""
        with self._lock:
            if run_id not in self._counts:
                self._counts[run_id] = self._counted(run_id)
            return self._counts[run_id]

    def _counted(self, run_id: int | None) -> OutboxCount:
        shorts = [s for s in self._known.values() if run_id is None or s.run_id == run_id]
        got = Counter((short.mail, person) for short in shorts for person in short.recipients)
        twice = sorted({person for (_, person), times in got.items() if times > 1})
        return OutboxCount(
            messages=len(shorts),
            people=len({person for _, person in got}),
            duplicates=got.total() - len(got),
            twice=tuple(twice[:_NAMED_AT_MOST]),
            looked_at=len(self._known),
            total=len(self._ids),
            can_go_on=len(self._known) < min(len(self._ids), KNOWN_AT_MOST),
        )

    def _chosen(
        self, ids: Sequence[int], start: int, wanted: str, run_id: int | None
    ) -> Iterator[int]:
        known = self._known
        for number in islice(ids, start, None):
            short = known.get(number)
            if short and (run_id is None or short.run_id == run_id) and wanted in short.text:
                yield number

    def _list(self) -> None:
        stamp = tuple(_changed_at(self._outbox / folder) for folder in ("new", "cur"))
        now = self._clock.elapsed()
        if stamp != self._stamp:
            self._stamp, self._stamped_at, self._is_settled = stamp, now, False
        if self._is_settled:
            return
        # Only a listing made a while after the folder last changed holds all that came at that time.
        self._is_settled = now - self._stamped_at >= _SETTLED_AFTER
        names = {name for folder in ("new", "cur") for name in _listed(self._outbox / folder)}
        come, gone = names - self._names, self._names - names
        if not come and not gone:
            return
        self._names = names
        ids = {number for name in come if (number := _number(name))}
        # One that a mail program has seen goes from new/ to cur/, under another name.
        left = {number for name in gone if (number := _number(name))} - ids
        if left or ids.intersection(self._ids):
            ids.update(number for number in self._ids if number not in left)
            self._ids = sorted(ids, reverse=True)
        else:
            self._ids = sorted([*self._ids, *ids], reverse=True)
        self._counts.clear()
        kept = self._ids[:KNOWN_AT_MOST]
        if left or len(kept) < len(self._ids):
            self._known = {n: self._known[n] for n in kept if n in self._known}

    def _leave_out(self, unreadable: set[int]) -> None:
        """Take out of the list what can't be read; the next listing looks at it again."""
        if unreadable:
            self._names = {name for name in self._names if _number(name) not in unreadable}
            self._ids = [number for number in self._ids if number not in unreadable]

    def _short(self, number: int) -> _Short | None:
        for path in places(self._outbox, number):
            try:
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - thousands at a time
                    return _in_short(number, file.read(_HEAD_BYTES))
            except OSError:
                continue
        return None


def _in_short(number: int, start: bytes) -> _Short:
    """Return what is kept in mind of a message, from the first bytes of its file."""
    run, message_id, text = "", "", []
    recipients: list[str] = []
    in_envelope = True
    for name, value in _fields(start.decode("ascii", "surrogateescape")):
        in_envelope = in_envelope and name != _ENDS_ENVELOPE
        if name in _SEARCHED:
            text.append(_folded(value))
            if name == "delivered-to" and in_envelope:
                recipients.append(text[-1])
        elif name == RUN_HEADER.lower():
            run = run or value.strip()
        elif name == "message-id":
            message_id = message_id or decoded(value)
    run_id = int(run) if _RUN_ID.fullmatch(run) else None
    mail = run_id if run_id is not None else message_id or f"of file {number}"
    return _Short(run_id, tuple(recipients), mail, "\n".join(text))


@lru_cache(maxsize=1024)  # a campaign's mails have one sender, and often one subject
def _folded(value: str) -> str:
    return decoded(value).casefold()


def _fields(head: str) -> Iterator[tuple[str, str]]:
    at = 0
    while field := _FIELD.match(head, at):
        yield field[1].lower(), field[2]
        at = field.end()


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - a path for each of thousands is what takes time
    except OSError:
        return []


def _number(name: str) -> int | None:
    number = name.partition(":")[0]
    return int(number) if _NAME.fullmatch(number) else None


def _changed_at(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
