"""Statuses of PACS and DICOMweb servers: which mean stored, which ask for another attempt, which are final."""

from __future__ import annotations

from lungsev.errors import LungsevError

# PS3.7 C, PS3.4 table B.2-1, PS3.18 tables 10.5.3-2 and I.2-2, PS3.3 C.14.1.1.
_REASONS = {
    0x0105: "it does not know an attribute of the object",
    0x0106: "the value of an attribute is invalid",
    0x0107: "it found errors in the attributes",
    0x0112: "it knows no such object",
    0x0115: "an argument is invalid",
    0x0116: "the value of an attribute is out of range",
    0x0117: "the UID of the object is invalid",
    0x0118: "it does not know this kind of object",
    0x0119: "the object is not of the kind it claims",
    0x0120: "an attribute is missing",
    0x0121: "the value of an attribute is missing",
    0x0122: "it does not take this kind of object",
    0x0124: "lungsev is not authorised",
    0x0131: "it has used this transaction before",
    0x0210: "it has used this message number before",
    0x0211: "it does not know this operation",
    0x0212: "an argument is of the wrong type",
    0xC122: "it does not take this transfer syntax",
}
_REASON_RANGES = (
    (0xA900, 0xA9FF, "the object does not fit its kind"),
    (0xC000, 0xCFFF, "it cannot understand the object"),
)
_STORED_WITH_A_WARNING = frozenset({0x0001, 0x0107, 0x0116})  # of C-STORE
_DUPLICATE = 0x0111
_PROCESSING_FAILED, _RESOURCE_LIMIT, _OUT_OF_RESOURCES = 0x0110, 0x0213, 0xA7
_BEING_STORED = 0xB00F  # Azure DICOM service, 45071; its 45070 = 0xB00E says that the object is stored already


class SendLaterError(LungsevError):
    """The peer cannot take the file now.

    Args:
        message: Why.
        others: Whether it would take no other file either, for example because it does not answer.
    """

    def __init__(self, message: str, others: bool = True) -> None:
        super().__init__(message)
        self.others = others


class SendRefusedError(LungsevError):
    """The peer will not take the file however often it is sent."""


def check_status(status: int, peer: str) -> None:
    """Return when a status of C-STORE says that the object is stored.

    Args:
        status: Status of the answer.
        peer: Who answered, as the subject of a sentence.

    Raises:
        SendLaterError, SendRefusedError: The object is not stored.
    """
    if status != 0x0000 and status not in _STORED_WITH_A_WARNING:
        check_failure(status, peer)


def check_failure(reason: int, peer: str) -> None:
    """Return when the reason of a failure says that the object is stored after all: coerced, or there already.

    Raises:
        SendLaterError, SendRefusedError: The object is not stored.
    """
    code = f"status 0x{reason:04X}"
    if reason == _BEING_STORED:
        raise SendLaterError(f"{peer} is still storing the object from an earlier attempt ({code})", others=False)
    if reason == _DUPLICATE or reason >> 12 == 0xB:
        return
    if reason >> 8 == _OUT_OF_RESOURCES or reason == _RESOURCE_LIMIT:
        raise SendLaterError(f"{peer} is out of resources for now ({code})")
    if reason == _PROCESSING_FAILED:
        raise SendLaterError(f"{peer} could not process the object ({code})", others=False)
    in_range = (words for first, last, words in _REASON_RANGES if first <= reason <= last)
    words = _REASONS.get(reason) or next(in_range, "its reason is not one of the standard's")
    raise SendRefusedError(f"{peer} refused the object: {words} ({code})")
