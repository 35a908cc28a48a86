from __future__ import annotations

import pytest

from lungsev.runtime.addresses import is_allowed, parse_networks

NETWORKS = parse_networks(("127.0.0.1", "10.1.2.3/24", "fd00::/8"))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("10.1.2.200", True),
        ("10.1.3.1", False),
        ("::ffff:10.1.2.9", True),
        ("fd00::1%eth0", True),
        ("::1", False),
    ],
)
def test_an_address_is_allowed_by_a_network_that_holds_it(address: str, allowed: bool) -> None:
    assert is_allowed(address, NETWORKS) == allowed


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="ward"):
        parse_networks(("ward",))
