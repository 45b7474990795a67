"""A disk that loses what was not made durable when the machine dies, and may be full."""

import errno
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random

from storage.disk import OsDisk


class MachineDisk:
    """What outlives a process: for each file that was written, what is safe of it, and what was promised."""

    def __init__(self) -> None:
        self.is_full = False
        self._safe: dict[Path, bytes | None] = {}
        self._promised: dict[Path, list[bytes]] = {}
        self._synced: set[Path] = set()
        self._older: dict[Path, deque[bytes | None]] = {}  # of what was written in place

    def note_temp(self, path: Path) -> None:
        self._synced.discard(path)

    def note_sync(self, path: Path) -> None:
        self._synced.add(path)
        self._keep_older(path, lambda older: older is None)  # its name may be lost yet

    def note_rename(self, source: Path, target: Path, before: bytes | None) -> None:
        self._safe.setdefault(target, before)
        data = target.read_bytes()
        if source not in self._synced:  # the name is there, and nothing behind it
            data = data[: len(data) // 2]
        self._promised.setdefault(target, []).append(data)

    def note_in_place(self, path: Path) -> None:
        before = path.read_bytes() if path.exists() else None
        self._older.setdefault(path, deque(maxlen=3)).append(before)

    def note_sync_folder(self, folder: Path) -> None:
        for path in self._older:
            if path.parent == folder:
                self._keep_older(path, lambda older: older is not None)
        for target, promised in self._promised.items():
            if target.parent == folder and promised:
                self._safe[target] = promised[-1]
                promised.clear()

    def forget(self) -> None:
        """Take what there is for what is safe."""
        self._safe.clear()
        self._promised.clear()
        self._older.clear()

    def lose(self, dice: Random) -> None:
        """Come up again as after a power cut: of what was not durable some may be there, some may not."""
        for target, promised in self._promised.items():
            found = dice.choice([self._safe[target], *promised])
            promised.clear()
            self._safe[target] = found
            if found is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(found)
        for path, older in self._older.items():
            if not older:
                continue
            found = dice.choice([path.read_bytes(), *older])
            older.clear()
            if found is None:
                path.unlink()
            else:
                path.write_bytes(found)

    def _keep_older(self, path: Path, is_kept: Callable[[bytes | None], bool]) -> None:
        older = self._older.get(path, deque())
        kept = [content for content in older if is_kept(content)]
        older.clear()
        older.extend(kept)


class ProcessDisk(OsDisk):
    """Implements storage.disk.Disk for one process, which may die at each step."""

    def __init__(self, machine: MachineDisk, edge: Callable[[str], None]) -> None:
        self._machine = machine
        self._edge = edge

    def read(self, path: Path) -> bytes:
        self._edge("read a file")
        return super().read(path)

    def write_temp(self, path: Path, data: bytes) -> Path:
        self._edge("write a file")
        if self._machine.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        temporary = super().write_temp(path, data)
        self._machine.note_temp(temporary)
        return temporary

    def sync(self, path: Path) -> None:
        self._edge("sync a file")
        self._machine.note_sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._edge("rename a file")
        before = target.read_bytes() if target.exists() else None
        super().rename(source, target)
        self._machine.note_rename(source, target, before)
        self._edge("have renamed a file")

    def sync_folder(self, path: Path) -> None:
        self._edge("sync a folder")
        self._machine.note_sync_folder(path)
        self._edge("have synced a folder")

    def write_in_place(self, path: Path, data: bytes) -> None:
        self._edge("write in place")
        if self._machine.is_full and not path.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._machine.note_in_place(path)
        super().write_in_place(path, data)
        self._edge("have written in place")
