"""Senders of a file: one function for each kind of destination. Only the peer's answer decides the outcome.

A sender returns when the peer has the file. It raises `SendLaterError` when another attempt can help (no answer, disk
full, overload) and `SendRefusedError` when it cannot (the peer refuses such files, or files from this sender).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any

from lungsev.runtime.delivery.destinations import (
    Destination,
    DicomDestination,
    FolderDestination,
    StowDestination,
    WebhookDestination,
)
from lungsev.runtime.delivery.dicom_peer import PEER, associated
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError, check_status
from lungsev.runtime.delivery.stow_answer import read_stow_answer
from lungsev.runtime.delivery.web import ask, check_web_status, read_secret
from lungsev.system import write_atomically

_CONTENT_TYPES = {  # the longest ending first
    ".fhir.json": "application/fhir+json",
    ".json": "application/json",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".hl7": "x-application/hl7-v2+er7; charset=utf-8",
    ".dcm": "application/dicom",
}
_CONFLICT, _NOT_ACCEPTABLE = 409, 406


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
    """Send by C-STORE; the peer must answer with success or a warning (PS3.4 B.2.3), or that it has the object.

    A peer that accepts no compressed images, for example DCMTK's storescp by default, is sent uncompressed ones.
    """
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset = _read_object(path)
    syntax = dataset.file_meta.TransferSyntaxUID
    # Every peer must accept the last one (PS3.5 10.1).
    offered = dict.fromkeys((syntax, ExplicitVRLittleEndian, ImplicitVRLittleEndian))
    with associated(destination, [(dataset.SOPClassUID, [each]) for each in offered]) as association:
        accepted = [context.transfer_syntax[0] for context in association.accepted_contexts]
        if syntax.is_compressed and syntax not in accepted:
            try:
                dataset.decompress(generate_instance_uid=False)
            except Exception as error:  # pydicom raises many kinds
                raise SendRefusedError(
                    f"{PEER} takes no compressed objects, and this one cannot be decompressed: {type(error).__name__}"
                ) from None
        try:
            status = association.send_c_store(dataset)
        except RuntimeError:
            raise SendLaterError(f"the connection to {PEER} broke") from None
        except ValueError:  # no context for it, or pydicom cannot write it
            raise SendRefusedError(f"the object cannot be encoded in a way that {PEER} accepts") from None
    if "Status" not in status:
        raise SendLaterError(f"{PEER} closed the connection or did not answer in time")
    check_status(int(status.Status), PEER)


def send_stow(destination: StowDestination, path: Path) -> None:
    """Send by STOW-RS (PS3.18 10.5); the answer lists what was not stored and why, whatever its status."""
    uid = str(_read_object(path).SOPInstanceUID)
    boundary = secrets.token_hex(16)
    body = (
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        + path.read_bytes()
        + f"\r\n--{boundary}--\r\n".encode()
    )
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
    for accepted in ("application/dicom+json", "application/dicom+xml"):
        answer = ask(destination, "POST", body, {**headers, "Accept": accepted})
        if answer.status != _NOT_ACCEPTABLE:
            break
    said = read_stow_answer(answer.body, answer.content_type)
    if answer.status >= 500 or answer.status in (401, 403):
        check_web_status(answer.status)
    if said is not None and (said.failures or answer.status == _CONFLICT):
        said.check_object(uid, nothing_stored=answer.status == _CONFLICT)
        return
    check_web_status(answer.status)
    if said is None:
        raise SendLaterError("what the server answered is not about storage, perhaps a page to log in: check the URL")


def post_file(destination: WebhookDestination, path: Path, name: str) -> None:
    """Send by POST, unchanged; the same file always has the same Idempotency-Key."""
    body = path.read_bytes()
    headers = {
        "Content-Type": _content_type(path.name),
        "Idempotency-Key": hashlib.sha256(name.encode() + b"\0" + body).hexdigest(),
        "X-Lungsev-File": name,
    }
    if destination.secret_file is not None:
        digest = hmac.new(read_secret(destination.secret_file).encode(), body, hashlib.sha256).hexdigest()
        headers["X-Lungsev-Signature"] = f"sha256={digest}"
    check_web_status(ask(destination, "POST", body, headers).status)


def _content_type(name: str) -> str:
    found = (kind for ending, kind in _CONTENT_TYPES.items() if name.endswith(ending))
    return next(found, "application/octet-stream")


def _read_object(path: Path) -> Any:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path)
    except InvalidDicomError:
        raise SendRefusedError("the file in the outbox is damaged") from None
