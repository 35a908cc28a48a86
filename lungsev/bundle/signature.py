"""Signatures of bundles: who made one, checked offline against public keys that the hospital keeps.

`SIGNATURE` in a bundle is a line per key, `ed25519 <key id> <base64>`, over the bytes of `SHA256SUMS`, which hold the
hash of every other file. The packaged bundle needs none: it came in the wheel, whose RECORD and whose hash cover it;
nor does one whose checksum the user's own zoo lists. Any other must be signed by a key in `trusted_key_folder()`, or
its use without must be asked for.
Ed25519 (RFC 8032) by the package `cryptography`; keys are PEM, as `openssl genpkey -algorithm ed25519` writes them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lungsev.bundle.contents import CHECKSUM_FILE, SIGNATURE_FILE
from lungsev.bundle.trust import trusted_key_folder
from lungsev.errors import BundleError, ConfigError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_CONTEXT = b"lungsev bundle signature 1\n"  # a signature made for something else is none of a bundle
_MAX_KEY_BYTES = 10_000


def demand_signature(files: Mapping[str, bytes], where: Path, keys: Path | None = None) -> str:
    """Return the name of the trusted key that signed a bundle.

    Args:
        files: Of the bundle, its checksums already checked.
        where: For messages.
        keys: Folder of public keys; None: `trusted_key_folder()`.

    Raises:
        BundleError: No trusted key signed it, or its signature is not of these files.
        ConfigError: A file among the trusted keys is no public key.
    """
    folder = trusted_key_folder() if keys is None else keys
    ask = "or allow it with --allow-unsigned (settings: model.allow_unsigned: true; Python: allow_unsigned=True)"
    if SIGNATURE_FILE not in files:
        raise BundleError(f"{where} is not signed; sign it if it is yours (lungsev-export sign), {ask}")
    stated = _parse(files[SIGNATURE_FILE], where)
    trusted = {key_id(key): (name, key) for name, key in _trusted(folder).items()}
    if not stated.keys() & trusted.keys():
        found, count = ", ".join(stated), len(trusted)
        raise BundleError(
            f"{where} is signed by key {found}, which is not trusted here ({folder} holds "
            f"{count or 'no'} public key{'' if count == 1 else 's'}); put its makers' public key there, {ask}"
        )
    return _signer(stated, trusted, files[CHECKSUM_FILE], where)


def refuse_forged(files: Mapping[str, bytes], where: Path, keys: Path | None = None) -> None:
    """Refuse a bundle that a trusted key signed when it was another, which nobody who allows unsigned ones asks for.

    Raises:
        BundleError: As `demand_signature`, of a bundle that has a signature.
    """
    if SIGNATURE_FILE not in files:
        return
    try:
        trusted = {key_id(key): (name, key) for name, key in _trusted(keys or trusted_key_folder()).items()}
    except (ConfigError, MissingExtraError):  # nothing is trusted here
        return
    _signer(_parse(files[SIGNATURE_FILE], where), trusted, files[CHECKSUM_FILE], where)


def _signer(
    stated: Mapping[str, bytes], trusted: Mapping[str, tuple[str, Ed25519PublicKey]], sums: bytes, where: Path
) -> str:
    """Return the first trusted key that signed, empty without any; all of them must have signed these files."""
    known = [(*trusted[identity], signature) for identity, signature in stated.items() if identity in trusted]
    for name, key, signature in known:
        if not _verifies(key, signature, sums):
            raise BundleError(
                f"{where} has a signature by {name} that is not of its files: it was changed after it was signed; "
                "get it from its makers again"
            )
    return known[0][0] if known else ""


def signature_line(private_key: Path, sums: bytes) -> bytes:
    """Sign the checksums of a bundle; a line of `SIGNATURE`.

    Raises:
        ConfigError: The file is no Ed25519 private key without a password.
    """
    key = _private_key(private_key)
    encoded = base64.b64encode(key.sign(_CONTEXT + sums)).decode("ascii")
    return f"ed25519 {key_id(key.public_key())} {encoded}\n".encode("ascii")


def key_id(key: Ed25519PublicKey) -> str:
    """Return what a key is called in a signature: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _parse(data: bytes, where: Path) -> dict[str, bytes]:
    """Key id to signature."""
    found: dict[str, bytes] = {}
    try:
        for line in data.decode("ascii").splitlines():
            kind, identity, encoded = line.split(" ")
            if kind != "ed25519" or len(data) > _MAX_KEY_BYTES:
                raise ValueError(kind)
            found[identity] = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        found = {}
    if not found:
        raise BundleError(f"{where}/{SIGNATURE_FILE} is no list of signatures; get the bundle from its makers again")
    return found


def _verifies(key: Ed25519PublicKey, signature: bytes, sums: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _CONTEXT + sums)
    except InvalidSignature:
        return False
    return True


def _trusted(folder: Path) -> dict[str, Ed25519PublicKey]:
    """File name to key."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise MissingExtraError("a signed bundle (the package cryptography)", "bedside") from None
    keys = {}
    for path in sorted(folder.glob("*.pem")):
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} is no public key ({error}); expected PEM, or remove it") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"{path} is a key of another kind, expected Ed25519; remove it")
        keys[path.name] = key
    return keys


def _private_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot read the private key {path} ({reason}); expected PEM without a password, as "
            "`openssl genpkey -algorithm ed25519 -out key.pem` writes it"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is a key of another kind, expected Ed25519: openssl genpkey -algorithm ed25519")
    return key
