"""A Postfix of our own on the loopback: its own configuration, queue and mailboxes, gone when the test ends."""

import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

PATIENCE_SECONDS = 20
# Where system programs are need not be on a person's path.
_ENVIRONMENT = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"}

_MAIN = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = receiver.example
mydestination =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
maillog_file = /dev/stdout
alias_maps =
alias_database =
smtpd_banner = $myhostname ESMTP
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = texthash:{base}/mailboxes
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
retry     unix - - n - - error
proxymap  unix - - n - - proxymap
anvil     unix - - n - 1 anvil
virtual   unix - n n - - virtual
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Postfix:
    """A mail server that runs, and the mailbox of each of its addresses."""

    port: int
    folders: dict[str, Path]
    log: Path

    def messages(self, address: str) -> list[EmailMessage]:
        """Return what is in an address's mailbox, parsed by the standard library."""
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(path.read_bytes()) for path in self._files(address)]

    def count(self) -> int:
        """Return how many messages are in all mailboxes."""
        return sum(len(self._files(address)) for address in self.folders)

    def _files(self, address: str) -> list[Path]:
        return sorted((self.folders[address] / "new").glob("*"))


@contextmanager
def a_postfix(addresses: Sequence[str]) -> Iterator[Postfix]:
    """Run a Postfix that takes mail for these addresses, as they are on the wire, each into a mailbox of its own.

    Whatever comes for another address in one of their domains goes to the mailbox "stranger".
    """
    # Not pytest's own folder: Postfix's user must be able to look into this one.
    base = Path(tempfile.mkdtemp(prefix="sendonce-postfix-"))
    base.chmod(0o755)
    try:
        port = _configure(base, addresses)
        with (base / "log").open("wb") as log:
            master = subprocess.Popen(
                ["postfix", "-c", base / "etc", "start-fg"],
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
            )
        try:
            _wait_until_it_answers(master, port, base / "log")
            folders = {a: base / "mail" / str(n) for n, a in enumerate([*addresses, "stranger"])}
            yield Postfix(port=port, folders=folders, log=base / "log")
        finally:
            stop = ["postfix", "-c", base / "etc", "stop"]
            subprocess.run(stop, capture_output=True, timeout=20, env=_ENVIRONMENT)
            master.wait(timeout=20)
    finally:
        shutil.rmtree(base)


def _configure(base: Path, addresses: Sequence[str]) -> int:
    owner = pwd.getpwnam("postfix")
    for name in ("etc", "queue", "data", "mail"):
        (base / name).mkdir()
    for name in ("data", "mail"):
        os.chown(base / name, owner.pw_uid, owner.pw_gid)
    domains = sorted({address.rpartition("@")[2] for address in addresses})
    mailboxes = [f"{address} {number}/" for number, address in enumerate(addresses)]
    mailboxes += [f"@{domain} {len(addresses)}/" for domain in domains]
    (base / "mailboxes").write_text("\n".join(mailboxes) + "\n")
    port = _free_port()
    daemons = subprocess.run(
        ["postconf", "-dh", "daemon_directory"],
        capture_output=True,
        text=True,
        check=True,
        env=_ENVIRONMENT,
    ).stdout.strip()
    (base / "etc" / "main.cf").write_text(
        _MAIN.format(
            base=base,
            daemons=daemons,
            domains=" ".join(domains),
            uid=owner.pw_uid,
            gid=owner.pw_gid,
        )
    )
    (base / "etc" / "master.cf").write_text(_MASTER.format(port=port))
    return port


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_it_answers(master: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and master.poll() is None:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
                client.noop()
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"Postfix does not answer:\n{log.read_text(errors='replace')}")
