"""One function for each way of sending a file. What the peer answered decides, nothing else.

A sender returns when the peer has the file. It raises `SendLaterError` when trying again can help (nobody there,
disk full, overload) and `SendRefusedError` when it cannot (the peer does not want such a file, or not from us).
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
_TRY_AGAIN = frozenset({408, 409, 423, 425, 429})
_LONGEST_ANSWER = 1 << 20


class SendLaterError(LungsevError):
    """The peer cannot take the file now."""


class SendRefusedError(LungsevError):
    """The peer will not take the file however often it is sent."""


def send(destination: Destination, path: Path, name: str) -> None:
    """Send one file.

    Args:
        name: What the file is called at the other end; made by lungsev, never from a tag.

    Raises:
        SendLaterError, SendRefusedError: It did not arrive.
    """
    match destination:
        case DicomDestination():
            store_dicom(destination, path)
        case StowDestination():
            store_web(destination, path)
        case WebhookDestination():
            post_file(destination, path, name)
        case FolderDestination():
            drop_file(destination, path, name)


def drop_file(destination: FolderDestination, path: Path, name: str) -> None:
    """Copy into a folder, whole or not at all. The folder must exist: a share that is not mounted is no folder."""
    try:
        write_atomically(destination.path / name, path.read_bytes())
    except OSError as error:
        raise SendLaterError(f"cannot write to the folder: {error.strerror or type(error).__name__}") from None


def store_dicom(destination: DicomDestination, path: Path) -> None:
    """C-STORE; sent is what the peer acknowledged with success or a warning (PS3.4 B.2.3).

    A peer that takes no compressed pictures, as DCMTK's storescp does by default, is sent them uncompressed.
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
    # Every peer knows the last one (PS3.5 10.1).
    for offered in dict.fromkeys((syntax, ExplicitVRLittleEndian, ImplicitVRLittleEndian)):
        entity.add_requested_context(dataset.SOPClassUID, [offered])
    association = entity.associate(
        destination.host, destination.port, ae_title=destination.ae_title, tls_args=_tls(destination)
    )
    if not association.is_established:
        raise _no_association(association)
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
    _judge_status(status)


def store_web(destination: StowDestination, path: Path) -> None:
    """STOW-RS (PS3.18 10.5): the answer lists what was not stored, even under status 200."""
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
        raise SendLaterError("the answer is no STOW-RS response: check the URL") from None
    if failed:
        reason = failed[0].get("00081197", {}).get("Value", [0])[0] if isinstance(failed[0], dict) else 0
        _judge_code(int(reason))


def post_file(destination: WebhookDestination, path: Path, name: str) -> None:
    """POST the file as it is; the same file always carries the same Idempotency-Key."""
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
    """Patient data goes where it was configured to go, and nowhere a server points to."""

    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        return None


def _post(url: str, body: bytes, headers: dict[str, str], destination: StowDestination | WebhookDestination) -> bytes:
    if destination.token_file is not None:
        headers = {**headers, "Authorization": f"Bearer {_secret(destination.token_file)}"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=destination.timeout_seconds) as response:
            return bytes(response.read(_LONGEST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            if error.code >= 500 or error.code in _TRY_AGAIN:
                raise SendLaterError(f"the server answered {error.code}") from None
            hint = ": check the token" if error.code in (401, 403) else ": check the URL" if error.code < 405 else ""
            raise SendRefusedError(f"the server answered {error.code}{hint}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise SendLaterError(f"no answer from the server: {_in_words(reason)}") from None


def _judge_status(status: Any) -> None:
    if "Status" not in status:
        raise SendLaterError("the peer hung up or did not answer in time")
    _judge_code(int(status.Status))


def _judge_code(code: int) -> None:
    """DIMSE status to outcome (PS3.7 C, PS3.4 B.2.3): 0xA7xx is a lack of room, the other failures are final."""
    if code == 0x0000 or code in (0x0001, 0x0107, 0x0116) or code >> 12 == 0xB:
        return
    if code >> 8 == 0xA7 or code in (0x0110, 0x0213):
        raise SendLaterError(f"the peer is out of resources (status 0x{code:04X})")
    raise SendRefusedError(f"the peer refused the object (status 0x{code:04X})")


def _no_association(association: Any) -> LungsevError:
    if association.is_rejected:
        return SendLaterError("the peer rejected the association: check the AE titles on both sides")
    if association.rejected_contexts:  # it talked to us, and wants no such object
        return SendRefusedError("the peer does not accept this kind of object or its transfer syntax")
    return SendLaterError("no association with the peer: nobody answers at this address")


def _tls(destination: DicomDestination) -> tuple[ssl.SSLContext, str] | None:
    if destination.tls_authorities is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(destination.tls_authorities))
        if destination.tls_certificate is not None and destination.tls_key is not None:
            context.load_cert_chain(destination.tls_certificate, destination.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SendLaterError(f"cannot use the TLS files: {_in_words(error)}") from None
    return context, destination.host


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SendLaterError(f"cannot read {path.name}: {_in_words(error)}") from None


def _in_words(error: object) -> str:
    if isinstance(error, socket.gaierror):
        return "the name of the host is unknown"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
