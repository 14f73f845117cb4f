"""Which network addresses may be connected to. Pure.

The lists follow IANA's special-purpose registries (RFC 6890 and its updates). They stand here because `is_global` of
Python 3.11 and 3.13 disagree about some of them, and because some addresses of clouds are global and yet not public.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

#: Refused wherever we run: nothing that holds pictures lives there, and clouds hand out their credentials there.
_NEVER = {
    "an unspecified address": ("0.0.0.0/8", "::/128"),
    "a link-local address, where clouds keep a machine's credentials": ("169.254.0.0/16", "fe80::/10", "fec0::/10"),
    # EC2 by IPv6, Alibaba, Oracle, Azure's wire server, and Google's by IPv6.
    "a metadata address of a cloud": (
        "fd00:ec2::/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd20:ce::254/128",
    ),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "a reserved address": (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
    ),
}
#: Refused unless private networks are allowed.
_PRIVATE = {
    "this machine itself": ("127.0.0.0/8", "::1/128"),
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "an address behind a carrier's translation": ("100.64.0.0/10",),
}
_NEVER_NETWORKS = {words: tuple(map(ip_network, networks)) for words, networks in _NEVER.items()}
_PRIVATE_NETWORKS = {words: tuple(map(ip_network, networks)) for words, networks in _PRIVATE.items()}
#: The one block of IPv6 from which public addresses are given out (RFC 4291, section 2.4).
_GLOBAL_UNICAST = ip_network("2000::/3")
#: IPv4 written as IPv6: mapped (RFC 4291), translated (RFC 6052), compatible (RFC 4291, long obsolete).
_CARRIERS = tuple(map(ip_network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96")))
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z", re.IGNORECASE)


def refusal(address: Address, *, allow_private: bool = False) -> str | None:
    """Say what `address` is if it must not be connected to, else None."""
    real = _real(address)
    for words, networks in (_NEVER_NETWORKS | ({} if allow_private else _PRIVATE_NETWORKS)).items():
        if any(real in network for network in networks):
            return words
    if any(real in network for networks in _PRIVATE_NETWORKS.values() for network in networks):
        return None
    is_public = real in _GLOBAL_UNICAST if isinstance(real, IPv6Address) else real.is_global
    return None if is_public else "no public address"


def literal(host: str) -> Address | None:
    """The address that `host` spells; None: it is a name.

    Raises:
        ValueError: it is a number and not the usual spelling of an address, such as `2130706433`, `0x7f.1`, `127.1`
            or `0177.0.0.1`, which some resolvers take for 127.0.0.1 and others do not.
    """
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host or _NUMBER.match(host.rstrip(".").rpartition(".")[2]):
            raise ValueError(f"{host} is an odd spelling of an address; write it as 93.184.215.14") from None
    return None


def _real(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or itself."""
    if isinstance(address, IPv6Address) and int(address) > 1 and any(address in carrier for carrier in _CARRIERS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
