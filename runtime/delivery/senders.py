"""Senders of a file: one function for each kind of destination. Only the peer's answer decides the outcome.

A sender returns when the peer has the file. It raises `SendLaterError` when another attempt can help (no answer, disk
full, overload) and `SendRefusedError` when it cannot (the peer refuses such files, or files from this sender).
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import secrets
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.runtime.delivery.destinations import (
    Destination,
    DicomDestination,
    FolderDestination,
    StowDestination,
    WebhookDestination,
)
from lungsev.system import write_atomically

_CONTENT_TYPES = {
    ".json": "application/json",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".hl7": "x-application/hl7-v2+er7; charset=utf-8",
    ".dcm": "application/dicom",
}
_TRANSIENT_STATUS = frozenset({408, 409, 423, 425, 429})
_MAX_ANSWER_BYTES = 1 << 20


class SendLaterError(LungsevError):
    """The peer cannot take the file now."""


class SendRefusedError(LungsevError):
    """The peer will not take the file however often it is sent."""


def send(destination: Destination, path: Path, name: str) -> None:
    """Send one file.

    Args:
        destination: Where to.
        path: The file.
        name: Name of the file at the destination; made by lungsev, never from a tag.

    Raises:
        SendLaterError, SendRefusedError: The file did not arrive.
    """
    match destination:
        case DicomDestination():
            send_c_store(destination, path)
        case StowDestination():
            send_stow(destination, path)
        case WebhookDestination():
            post_file(destination, path, name)
        case FolderDestination():
            copy_to_folder(destination, path, name)


def copy_to_folder(destination: FolderDestination, path: Path, name: str) -> None:
    """Copy a file into a folder, completely or not at all. The folder must exist: an unmounted share is an error."""
    try:
        write_atomically(destination.path / name, path.read_bytes())
    except OSError as error:
        raise SendLaterError(f"cannot write to the folder: {error.strerror or type(error).__name__}") from None


def send_c_store(destination: DicomDestination, path: Path) -> None:
    """Send by C-STORE; the peer must answer with success or a warning (PS3.4 B.2.3).

    A peer that accepts no compressed images, for example DCMTK's storescp by default, is sent uncompressed ones.
    """
    try:
        from pydicom import dcmread
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
        from pynetdicom import AE
    except ImportError:
        raise MissingExtraError("sending by DICOM", "bedside") from None
    dataset = dcmread(path)
    entity = AE(ae_title=destination.calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = destination.timeout_seconds
    entity.dimse_timeout = entity.network_timeout = destination.timeout_seconds
    syntax = dataset.file_meta.TransferSyntaxUID
    # Every peer must accept the last one (PS3.5 10.1).
    for offered in dict.fromkeys((syntax, ExplicitVRLittleEndian, ImplicitVRLittleEndian)):
        entity.add_requested_context(dataset.SOPClassUID, [offered])
    association = entity.associate(
        destination.host, destination.port, ae_title=destination.ae_title, tls_args=_tls(destination)
    )
    if not association.is_established:
        raise _association_error(association)
    try:
        accepted = [context.transfer_syntax[0] for context in association.accepted_contexts]
        if syntax.is_compressed and syntax not in accepted:
            dataset.decompress(generate_instance_uid=False)
        status = association.send_c_store(dataset)
    except (ValueError, RuntimeError) as error:
        raise SendLaterError(f"the association broke: {type(error).__name__}") from None
    finally:
        if association.is_established:
            association.release()
    _check_status(status)


def send_stow(destination: StowDestination, path: Path) -> None:
    """Send by STOW-RS (PS3.18 10.5); the answer lists what was not stored, even with status 200."""
    boundary = secrets.token_hex(16)
    body = (
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        + path.read_bytes()
        + f"\r\n--{boundary}--\r\n".encode()
    )
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    answer = _post(destination.url, body, headers, destination)
    try:
        failed = json.loads(answer).get("00081198", {}).get("Value", []) if answer.strip() else []
    except (ValueError, AttributeError):
        raise SendLaterError("the answer is not a STOW-RS response: check the URL") from None
    if failed:
        reason = failed[0].get("00081197", {}).get("Value", [0])[0] if isinstance(failed[0], dict) else 0
        _check_code(int(reason))


def post_file(destination: WebhookDestination, path: Path, name: str) -> None:
    """Send by POST, unchanged; the same file always has the same Idempotency-Key."""
    body = path.read_bytes()
    headers = {
        "Content-Type": _CONTENT_TYPES.get(path.suffix, "application/octet-stream"),
        "Idempotency-Key": hashlib.sha256(name.encode() + b"\0" + body).hexdigest(),
        "X-Lungsev-File": name,
    }
    if destination.secret_file is not None:
        digest = hmac.new(_secret(destination.secret_file).encode(), body, hashlib.sha256).hexdigest()
        headers["X-Lungsev-Signature"] = f"sha256={digest}"
    _post(destination.url, body, headers, destination)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: patient data must not leave for an address that a server names."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        return None


def _post(url: str, body: bytes, headers: dict[str, str], destination: StowDestination | WebhookDestination) -> bytes:
    if destination.token_file is not None:
        headers = {**headers, "Authorization": f"Bearer {_secret(destination.token_file)}"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=destination.timeout_seconds) as response:
            return bytes(response.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            if error.code >= 500 or error.code in _TRANSIENT_STATUS:
                raise SendLaterError(f"the server answered {error.code}") from None
            hint = ": check the token" if error.code in (401, 403) else ": check the URL" if error.code < 405 else ""
            raise SendRefusedError(f"the server answered {error.code}{hint}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise SendLaterError(f"no answer from the server: {_describe(reason)}") from None


def _check_status(status: Any) -> None:
    if "Status" not in status:
        raise SendLaterError("the peer closed the association or did not answer in time")
    _check_code(int(status.Status))


def _check_code(code: int) -> None:
    """Raise unless a DIMSE status is success or a warning (PS3.7 C, PS3.4 B.2.3). A lack of resources is temporary."""
    if code == 0x0000 or code in (0x0001, 0x0107, 0x0116) or code >> 12 == 0xB:
        return
    if code >> 8 == 0xA7 or code in (0x0110, 0x0213):
        raise SendLaterError(f"the peer is out of resources (status 0x{code:04X})")
    raise SendRefusedError(f"the peer refused the object (status 0x{code:04X})")


def _association_error(association: Any) -> LungsevError:
    if association.is_rejected:
        return SendLaterError("the peer rejected the association: check the AE titles on both sides")
    if association.rejected_contexts:  # it answered, and accepts no such object
        return SendRefusedError(
            "the peer does not accept this kind of object or its transfer syntax: check its settings"
        )
    return SendLaterError("no association with the peer: check its host and port")


def _tls(destination: DicomDestination) -> tuple[ssl.SSLContext, str] | None:
    if destination.tls_authorities is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(destination.tls_authorities))
        if destination.tls_certificate is not None and destination.tls_key is not None:
            context.load_cert_chain(destination.tls_certificate, destination.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SendLaterError(f"cannot use the TLS files: {_describe(error)}") from None
    return context, destination.host


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SendLaterError(f"cannot read {path.name}: {_describe(error)}") from None


def _describe(error: object) -> str:
    if isinstance(error, socket.gaierror):
        return "the name of the host is unknown"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
