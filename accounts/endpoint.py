"""Turns an account into the place that a connection goes to."""

from accounts.model import Account, Kind
from mail.opening import Endpoint


def endpoint_of(account: Account, *, sandbox_port: int) -> Endpoint:
    """Return where to connect and as whom.

    sandbox_port is where the built-in mail server listens: another one at each start, so no account keeps it.
    """
    signs_in = account.username is not None and account.password is not None
    return Endpoint(
        host=account.host,
        port=sandbox_port if account.kind is Kind.SANDBOX else account.port,
        security=account.security.value,
        verify_tls=account.verify_tls,
        username=account.username if signs_in else None,
        password=account.password if signs_in else None,
        pipelining=account.pipelining,
    )
