"""Which network a mail server is in: what can be reached from here, and by no stranger, is shown as such."""

import ipaddress
import re
from enum import StrEnum


class Network(StrEnum):
    """Where a host is. name: nobody knows before it is looked up, which only a connection does."""

    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    PRIVATE = "private"
    PUBLIC = "public"
    NAME = "name"


IN_WORDS = {
    Network.LOOPBACK: "on this machine",
    Network.LINK_LOCAL: "link-local, on a network that this machine is part of",
    Network.PRIVATE: "in a private network",
}


def network_of(host: str) -> Network:
    """Return the network of a host as it is written; an address also as resolvers take it: 127.1, 0x7f000001."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 6.3
        return Network.LOOPBACK
    try:
        return _network_of_ip(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        pass
    number = _as_resolvers_read(name)
    return Network.NAME if number is None else _network_of_ip(ipaddress.IPv4Address(number))


_PART = re.compile(r"0x[0-9a-f]{1,8}|[0-9]{1,11}")


def _as_resolvers_read(name: str) -> int | None:
    """Return the IPv4 address that inet_aton makes of one to four numbers, the last of which fills what is left."""
    parts = name.split(".")
    if len(parts) > 4 or not all(_PART.fullmatch(part) for part in parts):
        return None
    try:
        *first, last = (
            int(part, 16 if part.startswith("0x") else 8 if part.startswith("0") else 10)
            for part in parts
        )
    except ValueError:  # an 8 in an octal number
        return None
    left = 8 * (4 - len(first))
    if last >= 1 << left or any(part > 255 for part in first):
        return None
    return int.from_bytes(bytes(first)) << left | last


def _network_of_ip(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Network:
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_unspecified:  # a connection to 0.0.0.0 leads to this machine
        return Network.LOOPBACK
    if ip.is_link_local:
        return Network.LINK_LOCAL
    return Network.PUBLIC if ip.is_global else Network.PRIVATE
