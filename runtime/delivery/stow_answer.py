"""The answer of a STOW-RS server (PS3.18 10.5.3): which objects it stored, and why others failed.

Servers answer in JSON or XML, as one dataset or a list, compressed or not, in one part or several, or with nothing at
all. None of it is trusted: an answer that is none of these is not an acknowledgement.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from lungsev.runtime.delivery.statuses import SendLaterError, check_failure

_FAILED, _OTHER_FAILURES, _STORED = "00081198", "0008119A", "00081199"
_INSTANCE_UID, _FAILURE_REASON = "00081155", "00081197"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_DEEPEST_XML = 32
_PEER = "the server"


@dataclass(frozen=True)
class StowAnswer:
    """What an answer says. A failure is the UID of its object and its reason, each None where it is not given."""

    stored: frozenset[str]
    failures: tuple[tuple[str | None, int | None], ...]

    def check_object(self, uid: str, nothing_stored: bool) -> None:
        """Return when the answer says, or does not deny, that an object is stored.

        Args:
            uid: SOP Instance UID of the object, the only one that was sent.
            nothing_stored: Whether the status of the answer says that nothing was stored (409).

        Raises:
            SendLaterError, SendRefusedError: The object is not stored.
        """
        own = [reason for failed, reason in self.failures if failed == uid]
        if not own and uid in self.stored:
            return
        # A failure that names no object we sent may still be ours: some servers write a UID of their own, or none.
        for reason in own or [reason for _, reason in self.failures]:
            if not reason:
                raise SendLaterError(f"{_PEER} did not store the object and gave no reason", others=False)
            check_failure(reason, _PEER)
        if nothing_stored and not self.failures:
            raise SendLaterError(f"{_PEER} answered that it stored nothing (409), and gave no reason", others=False)


def read_stow_answer(body: bytes, content_type: str = "") -> StowAnswer | None:
    """Read the body of an answer.

    Args:
        body: The body, uncompressed.
        content_type: Its Content-Type, which is needed for an answer of several parts only.

    Returns:
        What it says; None when it is not the answer of a STOW-RS server, for example a login page.
    """
    if not body.strip(b" \t\r\n\0"):
        return StowAnswer(frozenset(), ())
    if content_type.lower().startswith("multipart/"):
        read = [_read_part(part) for part in _split(body, content_type)]
    else:
        read = [_read_part(body)]
    if all(part is None for part in read):
        return None
    datasets = [dataset for part in read for dataset in part or ()]
    stored = {uid for dataset in datasets for item in _items(dataset, _STORED) if (uid := _uid(item))}
    failures = [
        (_uid(item), _reason(item))
        for dataset in datasets
        for sequence in (_FAILED, _OTHER_FAILURES)
        for item in _items(dataset, sequence)
    ]
    return StowAnswer(frozenset(stored), tuple(failures))


def _split(body: bytes, content_type: str) -> Iterator[bytes]:
    header = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    for part in email.message_from_bytes(header + body, policy=email.policy.HTTP).walk():
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            yield payload if isinstance(payload, bytes) else b""


def _read_part(body: bytes) -> list[dict[str, Any]] | None:
    datasets = read_dicom_json(body)
    return _read_xml(body) if datasets is None else datasets


def read_dicom_json(body: bytes) -> list[dict[str, Any]] | None:
    """Return the datasets of the DICOM JSON Model (PS3.18 F), or None."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    datasets = [] if value is None else value if isinstance(value, list) else [value]
    is_dicom = all(isinstance(dataset, dict) and all(map(_TAG.fullmatch, dataset)) for dataset in datasets)
    return [{tag.upper(): element for tag, element in dataset.items()} for dataset in datasets] if is_dicom else None


def _read_xml(body: bytes) -> list[dict[str, Any]] | None:
    """Return the datasets of the Native DICOM Model (PS3.19 A.1) in the form of the JSON Model, or None.

    A document type is refused, and entities with it: nothing is expanded and nothing is fetched.
    """
    parser, builder = expat.ParserCreate(namespace_separator="}"), ElementTree.TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST_XML:
            raise ValueError("nested too deeply")
        builder.start(name.rpartition("}")[2], attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition("}")[2])

    def refuse(*_declaration: object) -> None:
        raise ValueError("a document type")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
        models = list(builder.close().iter("NativeDicomModel"))
    except (ValueError, expat.ExpatError):
        return None
    return [_dataset(model) for model in models] or None


def _dataset(model: ElementTree.Element) -> dict[str, Any]:
    return {
        attribute.get("tag", "").upper(): {
            "Value": [_dataset(item) for item in attribute.findall("Item")]
            + [value.text for value in attribute.findall("Value")]
        }
        for attribute in model.findall("DicomAttribute")
    }


def element_values(dataset: dict[str, Any], tag: str) -> list[Any]:
    """Return the values of an element, however it is written: none at all, null, or one without a list."""
    element = dataset.get(tag)
    value = element.get("Value") if isinstance(element, dict) else element
    return [] if value is None else value if isinstance(value, list) else [value]


def _items(dataset: dict[str, Any], sequence: str) -> Iterator[dict[str, Any]]:
    for item in element_values(dataset, sequence):
        if isinstance(item, dict):
            yield {str(tag).upper(): element for tag, element in item.items()}


def _uid(item: dict[str, Any]) -> str | None:
    return next((str(value).strip(" \0") for value in element_values(item, _INSTANCE_UID) if value), None)


def _reason(item: dict[str, Any]) -> int | None:
    """Return a reason, a number or a text of one; None when it is missing or is no 16-bit number."""
    value: Any = next(iter(element_values(item, _FAILURE_REASON)), None)
    try:
        reason = int(value, 0) if isinstance(value, str) else int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return reason if 0 < reason <= 0xFFFF else None
