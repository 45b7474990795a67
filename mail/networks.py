"""Which network a mail server is in: what can be reached from here, and by no stranger, is shown as such."""

import ipaddress
import socket
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
    try:
        return _network_of_ip(ipaddress.IPv4Address(socket.inet_aton(name)))
    except (OSError, ValueError):
        return Network.NAME


def _network_of_ip(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Network:
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_unspecified:  # a connection to 0.0.0.0 leads to this machine
        return Network.LOOPBACK
    if ip.is_link_local:
        return Network.LINK_LOCAL
    return Network.PUBLIC if ip.is_global else Network.PRIVATE
