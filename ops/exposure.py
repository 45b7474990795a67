"""Whether others on this machine can read what the program keeps: part of doctor."""

import stat
from collections.abc import Iterator
from pathlib import Path

from ops.findings import Finding, Verdict

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SHOWN = 3


def open_to_others(*folders: Path) -> Iterator[Finding]:
    """Yield a finding about each folder in which something is open to other users; links are not followed."""
    for folder in folders:
        exposed = list(_exposed(folder))
        if exposed:
            named = ", ".join(str(path) for path in exposed[:_SHOWN])
            more = f" and {len(exposed) - _SHOWN:,} more" if len(exposed) > _SHOWN else ""
            says = f"Others on this machine can get at {named}{more}. chmod -R go-rwx {folder}"
            yield Finding(Verdict.WARNING, "files", says)


def _exposed(folder: Path) -> Iterator[Path]:
    for path in (folder, *folder.rglob("*")):
        try:
            mode = path.lstat().st_mode
        except OSError:  # gone meanwhile: a server may run
            continue
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            yield path
