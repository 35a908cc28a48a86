"""DICOM peers that results are sent to: associations with them, and words for why there is none."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.runtime.delivery.destinations import DicomDestination
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError
from lungsev.runtime.delivery.web import describe_error

PEER = "the PACS"
_LONGEST_PROBE_SECONDS = 5.0
# PS3.8 table 9-21: source and reason of a rejection.
_REJECTIONS = {
    (1, 2): "it supports no such application",
    (1, 3): "it does not know the title {calling} (calling_ae_title)",
    (1, 7): "it does not go by the title {called} (ae_title)",
    (2, 2): "it speaks another version of the protocol",
    (3, 1): "it is overloaded",
    (3, 2): "it has too many associations",
}


@contextlib.contextmanager
def associated(
    destination: DicomDestination, contexts: Sequence[tuple[str, Sequence[str]]], timeout_seconds: float | None = None
) -> Iterator[Any]:
    """Keep an association with a peer open for as long as the block runs.

    Args:
        destination: The peer.
        contexts: Abstract syntax and transfer syntaxes of each presentation context.
        timeout_seconds: For every step; None is the destination's.

    Raises:
        MissingExtraError: pynetdicom is not installed.
        SendLaterError, SendRefusedError: There is no association.
    """
    try:
        from pynetdicom import AE, evt
    except ImportError:
        raise MissingExtraError("sending by DICOM", "bedside") from None
    timeout = timeout_seconds or destination.timeout_seconds
    entity = AE(ae_title=destination.calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = timeout
    entity.dimse_timeout = entity.network_timeout = timeout
    for abstract_syntax, transfer_syntaxes in contexts:
        entity.add_requested_context(abstract_syntax, list(transfer_syntaxes))
    connected: list[Any] = []
    context = tls_context(destination)
    start = time.monotonic()
    association = entity.associate(
        destination.host,
        destination.port,
        ae_title=destination.ae_title,
        tls_args=(context, destination.host) if context else None,
        evt_handlers=[(evt.EVT_CONN_OPEN, connected.append)],
    )
    if not association.is_established:
        timed_out = time.monotonic() - start >= timeout
        raise _no_association(association, destination, bool(connected), timed_out)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def tls_context(destination: DicomDestination) -> ssl.SSLContext | None:
    """Return the TLS settings of a destination, or None where TLS is off.

    Raises:
        SendLaterError: A file cannot be used.
    """
    if destination.tls_authorities is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(destination.tls_authorities))
        if destination.tls_certificate is not None and destination.tls_key is not None:
            context.load_cert_chain(destination.tls_certificate, destination.tls_key, password="")
    except ssl.SSLError:
        raise SendLaterError("cannot use the TLS files: expected PEM, and a key without a password") from None
    except OSError as error:
        raise SendLaterError(f"cannot use the TLS files: {describe_error(error)}") from None
    return context


def _no_association(association: Any, destination: DicomDestination, connected: bool, timed_out: bool) -> LungsevError:
    if association.is_rejected:
        answer = association.acceptor.primitive
        words = _REJECTIONS.get((answer.result_source, answer.diagnostic), "check the AE titles on both sides")
        named = words.format(calling=destination.calling_ae_title, called=destination.ae_title)
        return SendLaterError(f"{PEER} refused the connection: {named}")
    if association.rejected_contexts:  # it answered, and accepts no such object
        return SendRefusedError(
            f"{PEER} does not accept this kind of object or its transfer syntax: check its settings"
        )
    if connected:
        return SendLaterError(
            f"{PEER} took the connection and did not answer: check that its port speaks DICOM, the AE titles and TLS"
        )
    reason = "timed out" if timed_out else _why_unreachable(destination)
    return SendLaterError(f"{PEER} did not answer ({reason}): check its host and port")


def _why_unreachable(destination: DicomDestination) -> str:
    """Connect once more, since pynetdicom does not say why it could not."""
    seconds = min(destination.timeout_seconds, _LONGEST_PROBE_SECONDS)
    try:
        with socket.create_connection((destination.host, destination.port), timeout=seconds) as connection:
            context = tls_context(destination)
            if context is not None:
                context.wrap_socket(connection, server_hostname=destination.host).close()
    except OSError as error:
        return describe_error(error)
    return "the connection broke"
