"""What a test of an account tries, in order, and what a person can do about the step that failed."""

import re
from collections.abc import Sequence

from accounts.model import Account, Security, Step

_CODE = re.compile(r"[245][0-9][0-9]\b")


def planned(account: Account, *, with_mail: bool) -> list[str]:
    """Return the steps of a test that goes well, by their names."""
    signs_in = account.username is not None and account.password is not None
    return [
        "connect",
        *(["tls"] if account.security is Security.TLS else []),
        "banner",
        "ehlo",
        *(["starttls", "tls", "ehlo"] if account.security is Security.STARTTLS else []),
        *(["auth"] if signs_in else []),
        *(["mail", "rcpt", "data", "content"] if with_mail else []),
    ]


def not_tried(planned: Sequence[str], steps: Sequence[Step]) -> list[str]:
    """Return what was left out because an earlier step failed."""
    left = list(planned)
    for step in steps:
        # A connection that breaks is told as the step in which it did, which may have gone well before.
        if step.step in left:
            left = left[left.index(step.step) + 1 :]
    return left


def advice(failed: Step, account: Account) -> str:
    """Say what to do about the step that failed."""
    match failed.step:
        case "connect":
            return _on_connect(failed.detail, account)
        case "banner":
            return (
                "The server took the connection and did not greet. Port 465 wants TLS from the first byte:"
                " then choose TLS. Else check that host and port are a mail server's."
            )
        case "starttls":
            return "This port has no STARTTLS. Choose TLS, mostly on port 465, or ask the provider for the right port."
        case "tls":
            return _on_tls(failed.detail, account)
        case "auth":
            return _on_auth(failed.detail, account)
        case "mail":
            return (
                f"The server does not take mail from {account.from_email}. Most providers want the address,"
                " or its domain, to be verified first."
            )
        case "rcpt":
            return (
                "The server does not take mail for this address. Check it; a new account at a provider often reaches"
                " verified addresses only, and a server that relays for nobody wants you to sign in."
            )
    return "The server's words say why. Try again; if it stays so, ask whoever runs the server."


def _on_connect(detail: str, account: Account) -> str:
    if "can't be found" in detail:
        return (
            "Check the host: there is no server of this name, or this machine can't look names up."
        )
    return (
        f"If they are right, a firewall may keep this machine from port {account.port}. Many hosting companies"
        " block port 25; 587 or 465 mostly work."
    )


def _on_tls(detail: str, account: Account) -> str:
    if "STARTTLS may be right" in detail:
        return "Choose STARTTLS for this port, or port 465 for TLS."
    if "expired" in detail:
        return "The server's certificate has run out. Whoever runs the server must renew it."
    if "certificate" in detail:
        return (
            f"The server can't prove that it is {account.host}. Enter the host as its certificate has it; a server of"
            " your own needs a certificate that this machine trusts."
        )
    return "Choose another security or port: 587 goes with STARTTLS, 465 with TLS."


def _on_auth(detail: str, account: Account) -> str:
    if not _CODE.match(detail):  # ours: nothing that a server said
        if account.security is Security.NONE:
            return "Choose STARTTLS or TLS: most servers let nobody sign in without."
        return "Ask the provider how to sign in over SMTP."
    if detail.startswith("4"):
        return "The server can't check sign-ins just now. Try again in a few minutes."
    return "The server refused this user name or password. Many providers need an app password."
