"""Address lists of the settings: which machines may connect."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(items: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and networks, for example `10.1.2.3` and `10.1.2.0/24`.

    Raises:
        ValueError: One of them is neither.
    """
    return tuple(ipaddress.ip_network(item, strict=False) for item in items)


def is_allowed(address: str, networks: Iterable[Network]) -> bool:
    """Whether a peer's address is in one of the networks; an IPv4 address inside IPv6 counts as itself."""
    peer = ipaddress.ip_address(address.split("%")[0])
    mapped = getattr(peer, "ipv4_mapped", None)
    return any((mapped or peer) in network for network in networks)
