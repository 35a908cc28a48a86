"""Is a file all there? Looks at the structure only, never at pixels, and reads little of the file.

A copy that stalls leaves a file whose size and time stand still. What the file says of itself
tells it from an image: DICOM elements have lengths (PS3.5 7.1), native pixel data as many bytes as its length says,
encapsulated pixel data ends with a sequence delimiter (PS3.5 A.4), PNG with IEND, JPEG with EOI.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

Verdict = Literal["complete", "incomplete", "unrecognised"]

_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_VRS = _LONG_VRS | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = b"1.2.840.10008.1.2.2"
_IMPLICIT = b"1.2.840.10008.1.2"
_MAX_INFLATED = 128 << 20
_MAX_ELEMENTS = 200_000  # a header with more is hostile: the reader's limits deal with it
_TAIL_BYTES = 64 << 10


class _TruncatedError(Exception):
    """The file ends before its own structure does."""


class _UnrecognisedError(Exception):
    """The bytes do not follow the structure; the reader will say what is wrong."""


@dataclass(frozen=True)
class _Encoding:
    explicit: bool
    order: Literal["<", ">"]


def check_completeness(path: Path) -> Verdict:
    """Whether an image's file is all there.

    Returns:
        `incomplete` only when the file itself shows that an end is missing; `unrecognised` when it is of no
        kind known here or holds no image.

    Raises:
        OSError: It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            return "incomplete"
        head = stream.read(132)
        try:
            if head[128:132] == b"DICM":
                _walk_dicom(stream, size)
            elif head.startswith(b"\x89PNG\r\n\x1a\n"):
                _walk_png(stream, size)
            elif head.startswith(b"\xff\xd8\xff"):
                _find_in_tail(stream, size, b"\xff\xd9")
            elif head[:4] in (b"II*\0", b"MM\0*"):
                _check_tiff(head, size)
            elif size < 132 and (b"\x89PNG\r\n\x1a\n".startswith(head) or not any(head)):
                raise _TruncatedError
            else:
                return "unrecognised"
        except _TruncatedError:
            return "incomplete"
        except _UnrecognisedError:
            return "unrecognised"
    return "complete"


def _walk_dicom(stream: BinaryIO, size: int) -> None:
    syntax = _transfer_syntax(stream, size)
    if syntax == _DEFLATED:
        _check_deflated(stream)
        return
    order: Literal["<", ">"] = ">" if syntax == _BIG_ENDIAN else "<"
    _walk_elements(stream, size, _Encoding(syntax != _IMPLICIT, order))


def _transfer_syntax(stream: BinaryIO, size: int) -> bytes:
    """Read the meta group, which is always explicit little endian, and stop behind it."""
    encoding = _Encoding(True, "<")
    syntax = b""
    while stream.tell() < size:
        group = _exactly(stream, 2)
        stream.seek(-2, os.SEEK_CUR)
        if group != b"\x02\x00":  # what follows may be implicit, big endian or deflated
            break
        tag, length = _element(stream, encoding)
        if length == _UNDEFINED or length > 1 << 20:
            raise _UnrecognisedError
        value = _exactly(stream, length)
        if tag == (0x0002, 0x0010):
            syntax = value.rstrip(b"\0 ")
    else:
        raise _TruncatedError  # nothing behind the meta group
    if not syntax:
        raise _UnrecognisedError
    return syntax


def _walk_elements(stream: BinaryIO, size: int, encoding: _Encoding) -> None:
    """Elements of the dataset up to the end of the file; nesting is counted, not recursed into."""
    depth = 0
    has_pixels = False
    for _ in range(_MAX_ELEMENTS):
        if stream.tell() == size:
            if depth:
                raise _TruncatedError
            if not has_pixels:
                raise _UnrecognisedError  # no image, or a writer that paused before it
            return
        tag, length = _element(stream, encoding)
        has_pixels = has_pixels or tag == _PIXEL_DATA
        if tag in (_ITEM_END, _SEQUENCE_END):
            depth = max(0, depth - 1)
        elif tag == _PIXEL_DATA and length == _UNDEFINED and not depth:
            _walk_fragments(stream, size, encoding)
        elif length == _UNDEFINED:
            depth += 1  # a sequence or an item: its elements follow
        elif tag == _ITEM and depth:
            continue  # an item of known length: its elements follow
        else:
            _skip(stream, length, size)


def _walk_fragments(stream: BinaryIO, size: int, encoding: _Encoding) -> None:
    while True:
        group, element, length = struct.unpack(encoding.order + "HHI", _exactly(stream, 8))
        if (group, element) == _SEQUENCE_END:
            return
        if (group, element) != _ITEM:
            raise _UnrecognisedError
        _skip(stream, length, size)


def _element(stream: BinaryIO, encoding: _Encoding) -> tuple[tuple[int, int], int]:
    """Tag and length of the element here; the stream stands before its value."""
    group, element = struct.unpack(encoding.order + "HH", _exactly(stream, 4))
    rest = _exactly(stream, 4)
    if group == 0xFFFE or not encoding.explicit:
        return (group, element), struct.unpack(encoding.order + "I", rest)[0]
    if rest[:2] not in _VRS:
        raise _UnrecognisedError
    if rest[:2] in _LONG_VRS:
        return (group, element), struct.unpack(encoding.order + "I", _exactly(stream, 4))[0]
    return (group, element), struct.unpack(encoding.order + "H", rest[2:])[0]


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise _TruncatedError
    return data


def _skip(stream: BinaryIO, length: int, size: int) -> None:
    if stream.tell() + length > size:
        raise _TruncatedError
    stream.seek(length, os.SEEK_CUR)


def _check_deflated(stream: BinaryIO) -> None:
    """Inflate into nothing until the stream ends; a bomb is left to the reader, which refuses it."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = 0
    pending = b""
    while not inflate.eof and inflated < _MAX_INFLATED:
        pending = pending or stream.read(1 << 16)
        if not pending:
            raise _TruncatedError
        try:
            inflated += len(inflate.decompress(pending, 1 << 20))
        except zlib.error:
            raise _UnrecognisedError from None
        pending = inflate.unconsumed_tail


def _walk_png(stream: BinaryIO, size: int) -> None:
    stream.seek(8)
    for _ in range(_MAX_ELEMENTS):
        length, kind = struct.unpack(">I4s", _exactly(stream, 8))
        _skip(stream, length + 4, size)  # the chunk and its checksum
        if kind == b"IEND":
            return


def _find_in_tail(stream: BinaryIO, size: int, mark: bytes) -> None:
    """Some writers pad behind the end mark, so it is looked for in the last part of the file."""
    stream.seek(max(0, size - _TAIL_BYTES))
    if mark not in stream.read():
        raise _TruncatedError


def _check_tiff(head: bytes, size: int) -> None:
    order = "<" if head[:2] == b"II" else ">"
    (first_directory,) = struct.unpack(order + "I", head[4:8]) if len(head) >= 8 else (size,)
    if first_directory + 2 > size:
        raise _TruncatedError
