"""TLS of the ports that lungsev listens on."""

from __future__ import annotations

import ssl
from pathlib import Path

HANDSHAKE_SECONDS = 10.0  # a peer that takes longer is disconnected


def server_context(certificate: Path | None, key: Path | None, authorities: Path | None) -> ssl.SSLContext | None:
    """Return the TLS settings of a port (TLS 1.2 or newer: PS3.15 B.12, BCP 195), or None without a certificate.

    Args:
        certificate: PEM file.
        key: PEM file of its key, without a password.
        authorities: With it, peers must show a certificate signed by one of these.

    Raises:
        OSError, ssl.SSLError: A file is missing or is not what it should be.
    """
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password="")  # is not asked for one
    if authorities is not None:
        context.load_verify_locations(authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
