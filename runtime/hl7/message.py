"""An HL7 v2 message as segments, fields, repetitions, components and subcomponents (chapter 2).

A parser of this size is enough for what is taken in here, and it keeps what matters: the sender's own delimiters
(MSH-2), its character set (MSH-18) and every escape sequence.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from lungsev.errors import LungsevError

_SHORTEST_HEADER = len("MSH|^~\\&")
NULL = '""'  # an empty value on purpose, against a field that is not given (2.5.3)
# HL7 table 0211.
_CODECS = {
    "": "", "ASCII": "", "UTF-8": "utf-8", "UNICODE": "utf-8", "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16", "UNICODE UTF-32": "utf-32",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)},
    "GB 18030-2000": "gb18030", "KS X 1001": "euc_kr", "BIG-5": "big5",
    "ISO IR6": "ascii", "ISO IR14": "shift_jis", "ISO IR87": "iso2022_jp", "ISO IR159": "iso2022_jp_1",
}  # fmt: skip
_LEFT_OUT = re.compile(r"H|N|Z.*|\.(sp|br|fi|nf|in|ti|sk|ce).*", re.DOTALL)  # highlighting and layout
_HEX = re.compile(r"X(?:[0-9A-Fa-f]{2})+")


class Hl7Error(LungsevError):
    """A message cannot be taken.

    Args:
        message: Why, without a word of the patient.
        rejected: Whether such a message will never be taken (AR), rather than this one being wrong (AE).
        code: Of HL7 table 0357.
    """

    def __init__(self, message: str, rejected: bool = False, code: int = 207) -> None:
        super().__init__(message)
        self.rejected = rejected
        self.code = code


@dataclass(frozen=True)
class Delimiters:
    """Delimiters of a message, from MSH-1 and MSH-2. One that the sender does not use is empty."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass(frozen=True)
class Segment:
    """One segment. Fields count from 1, as in the standard; MSH-1 is the field delimiter itself."""

    name: str
    fields: tuple[str, ...]
    delimiters: Delimiters
    codec: str

    def raw(self, number: int) -> str:
        """Return a field as it was sent; "" where it is missing."""
        return self.fields[number - 1] if number <= len(self.fields) else ""

    def repetitions(self, number: int) -> tuple[Value, ...]:
        """Return the repetitions of a field that are not empty."""
        parts = _split(self.raw(number), self.delimiters.repetition)
        return tuple(Value(part, self.delimiters, self.codec) for part in parts if part and part != NULL)

    def text(self, number: int, component: int = 1) -> str:
        """Return a component of the first repetition; "" where it is missing."""
        first = self.repetitions(number)[:1]
        return first[0].text(component) if first else ""


@dataclass(frozen=True)
class Value:
    """One repetition of a field."""

    sent: str
    delimiters: Delimiters
    codec: str

    def text(self, component: int, subcomponent: int = 1) -> str:
        """Return a subcomponent without escape sequences; "" where it is missing or null. Both count from 1."""
        components = _split(self.sent, self.delimiters.component)
        if component > len(components):
            return ""
        parts = _split(components[component - 1], self.delimiters.subcomponent)
        found = parts[subcomponent - 1] if subcomponent <= len(parts) else ""
        return "" if found == NULL else _unescape(found, self.delimiters, self.codec).strip()


@dataclass(frozen=True)
class Hl7Message:
    """A message: MSH and the segments behind it, in their order."""

    header: Segment
    segments: tuple[Segment, ...]

    @property
    def kind(self) -> tuple[str, str]:
        """Message type and trigger event, for example ADT and A40."""
        event = self.header.text(9, 2)
        if not event and "_" in self.header.text(9, 3):
            event = self.header.text(9, 3).rpartition("_")[2]
        return self.header.text(9, 1).upper(), event.upper()


def parse_message(data: bytes) -> Hl7Message:
    """Parse one message.

    Args:
        data: Bytes as they were sent, without the frame of MLLP or with it. Segments end with CR; LF is taken too.

    Raises:
        Hl7Error: It is not one message, or its character set is unknown or not kept to.
    """
    text, codec = _decode(data.lstrip(b"\x0b\r\n ").removesuffix(b"\x1c\r").removesuffix(b"\x1c"))
    lines = [line for line in re.split(r"[\r\n]+", text.strip("\ufeff\r\n \0")) if line.strip()]
    if not lines or not lines[0].startswith("MSH") or len(lines[0]) <= _SHORTEST_HEADER:
        raise Hl7Error("found no HL7 message: it does not begin with MSH", rejected=True, code=100)
    if any(line.startswith("MSH") for line in lines[1:]):
        raise Hl7Error("found several messages, expected one", rejected=True, code=100)
    delimiters = _delimiters(lines[0])
    segments = [_segment(line, delimiters, codec) for line in lines]
    return Hl7Message(segments[0], tuple(segments[1:]))


def parse_header(data: bytes) -> Segment | None:
    """Parse the MSH of a message that cannot be taken, for its acknowledgement; None where there is none."""
    line = re.split(r"[\r\n]", data.strip(b"\x0b\xef\xbb\xbf\r\n ").decode("latin-1"), maxsplit=1)[0]
    with contextlib.suppress(Hl7Error):
        if line.startswith("MSH") and len(line) > _SHORTEST_HEADER:
            return _segment(line, _delimiters(line), "latin-1")
    return None


def _decode(data: bytes) -> tuple[str, str]:
    """Decode by MSH-18. Without one it is UTF-8, or else Windows-1252, which senders of Latin letters mean."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decode_as(data, "utf-16"), "utf-16"
    if data[:6] in (b"M\0S\0H\0", b"\0M\0S\0H"):
        codec = "utf-16-le" if data[0] else "utf-16-be"
        return _decode_as(data, codec), codec
    data = data.removeprefix(b"\xef\xbb\xbf")
    named = _named_character_set(re.split(rb"[\r\n]", data, maxsplit=1)[0].decode("latin-1"))
    if named not in _CODECS:
        raise Hl7Error("the character set of MSH-18 is not known here", code=103)
    if named not in ("", "ASCII"):
        return _decode_as(data, _CODECS[named]), _CODECS[named]
    for codec in ("utf-8", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(codec), codec
    return data.decode("latin-1"), "latin-1"


def _named_character_set(header: str) -> str:
    fields = header.split(header[3]) if len(header) > 3 else []
    found = re.match(r"[A-Z0-9 /.-]*", fields[17].upper()) if len(fields) > 17 else None
    return found[0].strip() if found else ""


def _decode_as(data: bytes, codec: str) -> str:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        raise Hl7Error("the message is not in the character set that its MSH-18 says", code=102) from None


def _delimiters(header: str) -> Delimiters:
    given = header[4:].split(header[3], 1)[0]
    found = Delimiters(header[3], *(given[place : place + 1] for place in range(4)))
    used = [found.field, *given[:4]]
    if (
        len(set(used)) != len(used)
        or not given
        or any(character.isalnum() or character.isspace() for character in used)
    ):
        raise Hl7Error("the delimiters in MSH-1 and MSH-2 make no sense", rejected=True, code=102)
    return found


def _segment(line: str, delimiters: Delimiters, codec: str) -> Segment:
    name, *fields = line.split(delimiters.field)
    return Segment(name, (delimiters.field, *fields) if name == "MSH" else tuple(fields), delimiters, codec)


def _split(text: str, delimiter: str) -> list[str]:
    return text.split(delimiter) if delimiter else [text]


def _unescape(text: str, delimiters: Delimiters, codec: str) -> str:
    """Replace escape sequences (2.7); those of highlighting and layout are left out, unknown ones are kept."""
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    meant = {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repetition,
        "E": mark,
        "T": delimiters.subcomponent,
    }

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code in meant:
            return meant[code]
        if _HEX.fullmatch(code):
            return bytes.fromhex(code[1:]).decode(codec, "replace")
        return "" if _LEFT_OUT.fullmatch(code) else match[0]

    quoted = re.escape(mark)
    return re.sub(f"{quoted}([^{quoted}]*){quoted}", replace, text)
