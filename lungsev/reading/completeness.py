"""Whether a file is all there. Looks at its structure only, never at pixels, and reads little of it.

A copy that stalls leaves a file whose size and time stay as they are. What the file says of itself distinguishes it
from an image: DICOM elements have lengths (PS3.5 7.1), native pixel data as many bytes as its length says,
encapsulated pixel data ends with a sequence delimiter (PS3.5 A.4) or with its codestream, PNG with IEND, JPEG with EOI.
What follows the pixel data is not read, neither here nor by `lungsev.reading.decode`: it may be padding or cut short.

This runs in the watcher itself, on unchecked files: no pydicom, no recursion, no memory that a file asks for.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from lungsev.errors import UnreadableImageError
from lungsev.reading.codecs import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from lungsev.reading.codestream import PNG_MAGIC, find_kind, png_chunks
from lungsev.reading.container import (
    ITEM,
    PIXEL_DATA,
    PREAMBLE_BYTES,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    fragment_spans,
    guess_syntax,
    has_preamble,
    inflate,
    is_dicom,
)
from lungsev.reading.formats.jpeg import has_jpeg_end
from lungsev.reading.formats.tiff_directory import read_tiff_directory

Verdict = Literal["complete", "incomplete", "unrecognised"]

_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_VRS = _LONG_VRS | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_ITEM_END = (0xFFFE, 0xE00D)
_PIXELS = (PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF)
_HEAD_BYTES = PREAMBLE_BYTES + 4
_MAX_META_VALUE = 1 << 20
_MAX_INFLATED = 128 << 20
_MAX_ELEMENTS = 200_000  # a header with more is hostile: the limits of reading refuse it
_STEP_BYTES = 64 << 10


@dataclass(frozen=True)
class _File:
    """An open file and its size. Elements are read in turn; chunks, fragments and the tail by position."""

    stream: BinaryIO
    size: int

    def read_at(self, position: int, count: int) -> bytes:
        self.stream.seek(min(position, self.size))  # positions of 64 bits are no places of a file
        return self.stream.read(count)

    def take(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) < count:
            raise _cut_short()
        return data

    def skip(self, count: int) -> None:
        if self.stream.tell() + count > self.size:
            raise _cut_short()
        self.stream.seek(count, os.SEEK_CUR)

    def steps(self) -> Iterator[bytes]:
        return iter(lambda: self.stream.read(_STEP_BYTES), b"")


@dataclass(frozen=True)
class _Encoding:
    explicit: bool
    order: Literal["<", ">"]


def check_completeness(path: Path) -> Verdict:
    """Tell whether an image's file is all there.

    Returns:
        `incomplete` only when the file itself shows that its end is missing; `unrecognised` when it is of no
        kind known here or holds no image.

    Raises:
        OSError: It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        file = _File(stream, os.fstat(descriptor).st_size)
        try:
            _walk(file, file.read_at(0, _HEAD_BYTES))
        except UnreadableImageError as error:
            return "incomplete" if error.code == "truncated" else "unrecognised"
    return "complete"


def _cut_short() -> UnreadableImageError:
    return UnreadableImageError("truncated", "the file ends before its own structure does")


def _unrecognised() -> UnreadableImageError:
    return UnreadableImageError("damaged", "the bytes do not follow the structure of an image's file")


def _walk(file: _File, head: bytes) -> None:
    kind = find_kind(head)
    if is_dicom(head):
        _walk_dicom(file, PREAMBLE_BYTES + 4 if has_preamble(head) else 0)
    elif kind == "png":
        _walk_png(file)
    elif kind == "jpeg":
        if not has_jpeg_end(file.read_at, file.size):
            raise _cut_short()
    elif kind == "tiff":
        if read_tiff_directory(file.read_at).data_end > file.size:
            raise _cut_short()
    elif file.size < _HEAD_BYTES and (PNG_MAGIC.startswith(head) or not any(head)):
        raise _cut_short()
    else:
        raise _unrecognised()


def _walk_png(file: _File) -> None:
    for _, position, length in islice(png_chunks(file.read_at), _MAX_ELEMENTS):
        if position + length + 4 > file.size:  # the chunk and its checksum
            raise _cut_short()


def _walk_dicom(file: _File, start: int) -> None:
    syntax = _read_syntax(file, start)
    if syntax == DEFLATED:
        _check_deflated(file)
        return
    place = file.stream.tell()
    is_explicit = guess_syntax(file.read_at(place, 6)) != IMPLICIT_LITTLE  # whatever the syntax says, as pydicom does
    file.stream.seek(place)
    _walk_elements(file, _Encoding(is_explicit, ">" if syntax == EXPLICIT_BIG else "<"))


def _read_syntax(file: _File, start: int) -> str:
    """Read the meta group, which is always explicit little endian, and stop behind it; without one, guess."""
    file.stream.seek(start)
    encoding = _Encoding(True, "<")
    syntax = b""
    while file.stream.tell() < file.size:
        group = file.take(2)
        file.stream.seek(-2, os.SEEK_CUR)
        if group != b"\x02\x00":  # what follows may be implicit, big endian or deflated
            break
        tag, length = _read_element(file, encoding)
        if length > _MAX_META_VALUE:  # or of undefined length
            raise _unrecognised()
        value = file.take(length)
        if tag == (0x0002, 0x0010):
            syntax = value.rstrip(b"\0 ")
    else:
        raise _cut_short()  # nothing behind the meta group
    if not syntax:
        place = file.stream.tell()
        beginning = file.read_at(place, 9)
        if len(beginning) == 9 and not is_dicom(beginning):
            raise _unrecognised()
        file.stream.seek(place)
        return guess_syntax(beginning[:6])
    return syntax.decode("ascii", "replace")


def _walk_elements(file: _File, encoding: _Encoding) -> None:
    """Elements of the dataset up to the end of its pixel data; nesting is counted, not recursed into."""
    depth, is_icon = 0, False
    for _ in range(_MAX_ELEMENTS):
        if file.stream.tell() == file.size:
            # Without pixels: no image, or a writer that paused before them.
            raise _cut_short() if depth else _unrecognised()
        tag, length = _read_element(file, encoding, is_nested=depth > 0)
        if tag in (_ITEM_END, SEQUENCE_END):
            depth, is_icon = max(0, depth - 1), False
        elif tag == _PIXELS and not depth:
            _walk_pixels(file, length)
            return
        elif length == UNDEFINED_LENGTH:
            depth, is_icon = depth + 1, tag == _PIXELS  # a sequence or an item: its elements or fragments follow
        elif tag == ITEM and depth and not is_icon:
            continue  # an item of known length: its elements follow
        else:
            file.skip(length)


def _walk_pixels(file: _File, length: int) -> None:
    if length != UNDEFINED_LENGTH:
        file.skip(length)
        return
    for _ in fragment_spans(file.read_at, file.stream.tell(), file.size):
        pass


def _read_element(file: _File, encoding: _Encoding, *, is_nested: bool = False) -> tuple[tuple[int, int], int]:
    """Tag and length of the element here; the stream then is before its value.

    Items of a sequence that a gateway did not know (UN) are implicit in explicit data too (PS3.5 6.2.2).
    """
    group, element = struct.unpack(encoding.order + "HH", file.take(4))
    rest = file.take(4)
    if group == 0xFFFE or not encoding.explicit or (is_nested and rest[:2] not in _VRS):
        return (group, element), struct.unpack(encoding.order + "I", rest)[0]
    if rest[:2] not in _VRS:
        raise _unrecognised()
    if rest[:2] in _LONG_VRS:
        return (group, element), struct.unpack(encoding.order + "I", file.take(4))[0]
    return (group, element), struct.unpack(encoding.order + "H", rest[2:])[0]


def _check_deflated(file: _File) -> None:
    """Inflate and keep nothing; a bomb is left to the limits of reading, which refuse it."""
    inflated = 0
    for part, _ in inflate(file.steps()):
        inflated += len(part)
        if inflated >= _MAX_INFLATED:
            return
