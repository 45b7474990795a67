"""Where a data directory may be: on a local disk. SQLite's locks and log do not work over a network."""

import os
import subprocess
import sys
from pathlib import Path

from foundation.errors import Unavailable

_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "afpfs",
        "webdav",
        "davfs",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.davfs",
        "fuse.gcsfuse",
        "fuse.cephfs",
    }
)


def prepare_folder(path: Path) -> None:
    """Make the folder if it is missing, readable by its owner only.

    Raises Unavailable when it can't be made or written, or lies on a network file system.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"The data directory {path} can't be made ({error.strerror}). Choose another with --data-dir."
        ) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Unavailable(
            f"The data directory {path} can't be written. Give this user the right, or choose another with --data-dir."
        )
    kind = file_system_of(path)
    if kind in _NETWORK:
        raise Unavailable(
            f"The data directory {path} lies on a network file system ({kind}), where the database's locks do not hold."
            " Choose a folder on a local disk with --data-dir."
        )


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read, and close its folder to others, where there is no such file yet.

    For the database before it is first opened: SQLite gives its log the same rights. An old one is left alone, since
    closing a descriptor of it would drop the locks that this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    path.parent.chmod(0o700)


def file_system_of(path: Path) -> str | None:
    """Return the kind of file system that the path lies on, as the system calls it; None where that can't be known."""
    mounts = _mounts_of_macos() if sys.platform == "darwin" else _mounts_of_linux()
    target = path.resolve()
    # Of several mounts on one point the last is the one that is seen.
    over = [
        (len(point.parts), i, kind)
        for i, (point, kind) in enumerate(mounts)
        if target.is_relative_to(point)
    ]
    return max(over)[2] if over else None


def _mounts_of_linux() -> list[tuple[Path, str]]:
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        # "36 35 98:0 / /mount/point rw - ext4 /dev/sda1 rw": a dash parts the optional fields from the kind.
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].encode().decode("unicode_escape")
        found.append((Path(point), after.split(" ")[0]))
    return found


def _mounts_of_macos() -> list[tuple[Path, str]]:
    try:
        done = subprocess.run(
            ["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in done.stdout.splitlines():
        # "/dev/disk3s1 on / (apfs, local, journaled)"
        _, _, rest = line.partition(" on ")
        point, _, options = rest.rpartition(" (")
        found.append((Path(point), options.split(",")[0].rstrip(")")))
    return found
