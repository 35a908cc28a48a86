"""Acknowledgements of HL7 v2 messages (2.9): AA taken, AE wrong, AR of a kind that is not taken here."""

from __future__ import annotations

from datetime import datetime

from lungsev.runtime.hl7.message import Delimiters, Hl7Error, Segment

_UNREADABLE = Segment("MSH", ("|", "^~\\&"), Delimiters(), "ascii")
_NEVER, _ON_ERROR, _ON_SUCCESS = "NE", "ER", "SU"  # HL7 table 0155


def acknowledge(header: Segment | None, error: Hl7Error | None, control_id: str, now: datetime) -> bytes | None:
    """Make the acknowledgement of a message.

    Args:
        header: MSH of the message; None where it has none.
        error: Why it was not taken; None when it was.
        control_id: Own identifier of the acknowledgement.
        now: Time of the answer, with its offset.

    Returns:
        The acknowledgement in the sender's delimiters and character set; None when the sender wants none.
    """
    header = header or _UNREADABLE
    kind = _kind(header, error)
    if kind is None:
        return None
    mark = header.delimiters
    code = kind + ("A" if error is None else "R" if error.rejected else "E")
    event = header.text(9, 2) or header.text(9, 3).rpartition("_")[2]
    kinds = ["ACK", event, "ACK"] if event and mark.component else ["ACK"]
    msh = [""] * 18
    msh[1:6] = [header.raw(2), header.raw(5) or "LUNGSEV", header.raw(6), header.raw(3), header.raw(4)]
    msh[6], msh[8], msh[9] = now.strftime("%Y%m%d%H%M%S%z"), mark.component.join(kinds), control_id
    msh[10], msh[11], msh[17] = header.raw(11) or "P", header.raw(12) or "2.5.1", header.raw(18)
    segments = [["MSH", *msh[1:]], ["MSA", code, header.raw(10)]]
    if error is not None:
        words = _escape(str(error), mark)
        table = mark.component.join([str(error.code), "", "HL70357"]) if mark.component else str(error.code)
        segments[1].append(words)
        segments.append(["ERR", "", "", table, "E", "", "", "", words])
    text = "".join(mark.field.join(segment).rstrip(mark.field) + "\r" for segment in segments)
    return text.encode(header.codec, "replace")


def _kind(header: Segment, error: Hl7Error | None) -> str | None:
    """Return A for an application's acknowledgement, C for the one of the intake (MSH-15 and 16), None for neither."""
    intake, application = header.text(15).upper(), header.text(16).upper()
    if not intake and not application:
        return "A"
    if application and _is_wanted(application, error):
        return "A"
    return "C" if intake and _is_wanted(intake, error) else None


def _is_wanted(condition: str, error: Hl7Error | None) -> bool:
    if condition == _NEVER:
        return False
    return error is None if condition == _ON_SUCCESS else error is not None if condition == _ON_ERROR else True


def _escape(text: str, mark: Delimiters) -> str:
    """Write a text in the sender's delimiters; without an escape character they become blanks."""
    codes = {mark.field: "F", mark.component: "S", mark.repetition: "R", mark.escape: "E", mark.subcomponent: "T"}
    codes.pop("", None)
    return "".join(
        (f"{mark.escape}{codes[character]}{mark.escape}" if mark.escape else " ") if character in codes else character
        for character in text
    )
