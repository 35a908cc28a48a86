"""What this process trusts of bundles from elsewhere: a folder of keys, and unsigned ones where that was asked for."""

from __future__ import annotations

import os
from pathlib import Path

KEYS_VARIABLE = "LUNGSEV_TRUSTED_KEYS"
UNSIGNED_VARIABLE = "LUNGSEV_ALLOW_UNSIGNED"
UNSIGNED_OPTION = "--allow-unsigned"  # of lungsev-run and lungsev-export
_SYSTEM_KEYS = Path("/etc/lungsev/trusted-keys")


def trusted_key_folder() -> Path:
    """Return the folder of public keys (*.pem): $LUNGSEV_TRUSTED_KEYS, else /etc/lungsev/trusted-keys."""
    return Path(os.environ.get(KEYS_VARIABLE) or _SYSTEM_KEYS)


def unsigned_allowed() -> bool:
    """Return whether bundles without a trusted signature were asked for: $LUNGSEV_ALLOW_UNSIGNED is 1."""
    return os.environ.get(UNSIGNED_VARIABLE) == "1"


def allow_unsigned() -> None:
    """Use bundles without a signature in this process and its children, which read the same variable."""
    os.environ[UNSIGNED_VARIABLE] = "1"
