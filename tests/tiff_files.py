"""TIFF and BigTIFF files written tag by tag, so that a test can say anything a writer may say."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR = 256, 257, 258, 259, 262, 274, 277, 284
SUBFILE, COLOUR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT, DEPTH = 254, 320, 338, 339, 32997
_STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_FORMATS = {"u": 1, "b": 1, "i": 2, "f": 3, "c": 6}

Values = int | tuple[int, ...]


def tiff_file(
    *pictures: tuple[npt.NDArray[Any], dict[int, Values]], order: str = "<", big: bool = False, first: bool = False
) -> bytes:
    """Uncompressed pictures with their tags, each in two strips for each plane.

    Args:
        pictures: Samples [rows, columns], [rows, columns, samples] or, with PLANAR 2, [samples, rows, columns]; and
            tags that replace or join those that follow from the samples.
        order: "<" or ">".
        big: BigTIFF.
        first: Directories before the pixels, as some writers have them.
    """
    place = "Q" if big else "I"
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + ("HHH" if big else "H"), *((43, 8, 0) if big else (42,))
    )
    start = len(head) + struct.calcsize(order + place)
    sizes = [len(_directory(samples, tags, order, place, 0, 0)) for samples, tags in pictures]
    body = b"".join(_pixels(samples, order) for samples, _ in pictures)
    directories_at = start if first else start + len(body)
    pixels_at = start + sum(sizes) if first else start
    directories = b""
    for number, (samples, tags) in enumerate(pictures):
        at = directories_at + len(directories)
        following = at + sizes[number] if number + 1 < len(pictures) else 0
        directories += _directory(samples, tags, order, place, at, following, pixels_at)
        pixels_at += samples.nbytes
    whole = directories + body if first else body + directories
    return head + struct.pack(order + place, directories_at) + whole


def pack(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Rows of values [rows, columns] in so many bits each, from the highest bit on, each row in whole bytes."""
    each = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(len(values), -1, 2), axis=2)[..., 16 - bits :]
    return np.packbits(each.reshape(len(values), -1), axis=1)


def _pixels(samples: npt.NDArray[Any], order: str) -> bytes:
    return samples.astype(samples.dtype.newbyteorder(order)).tobytes()


def _directory(
    samples: npt.NDArray[Any],
    changed: dict[int, Values],
    order: str,
    place: str,
    at: int,
    following: int,
    pixels_at: int = 0,
) -> bytes:
    tags: dict[int, Values] = {**_tags(samples, changed, pixels_at), **changed}
    width = struct.calcsize(order + place)
    entries, tail = b"", b""
    head_bytes = (8 if place == "Q" else 2) + len(tags) * (4 + 2 * width) + width
    for tag in sorted(tags):
        values = tags[tag] if isinstance(tags[tag], tuple) else (tags[tag],)
        packed = struct.pack(f"{order}{len(values)}{place}", *values)
        kind = 16 if place == "Q" else 4
        if tag in (BITS, COLOUR_MAP):
            packed, kind = struct.pack(f"{order}{len(values)}H", *values), 3
        if len(packed) > width:
            at_tail = struct.pack(order + place, at + head_bytes + len(tail))
            tail, packed = tail + packed, at_tail
        entries += struct.pack(order + "HH" + place, tag, kind, len(values)) + packed.ljust(width, b"\0")
    count = struct.pack(order + ("Q" if place == "Q" else "H"), len(tags))
    return count + entries + struct.pack(order + place, following) + tail


def _tags(samples: npt.NDArray[Any], changed: dict[int, Values], pixels_at: int) -> dict[int, Values]:
    is_planar = changed.get(PLANAR) == 2
    shape = samples.shape[1:] if is_planar else samples.shape[:2]
    count = 1 if samples.ndim == 2 else samples.shape[0 if is_planar else 2]
    row_bytes = samples.nbytes // shape[0] // (count if is_planar else 1)
    upper = (shape[0] + 1) // 2 * row_bytes
    lower = shape[0] * row_bytes - upper
    planes = count if is_planar else 1
    counts = (upper, lower) * planes
    places = tuple(int(pixels_at + sum(counts[:number])) for number in range(2 * planes))
    bits = 8 * samples.dtype.itemsize
    tags: dict[int, Values] = {WIDTH: shape[1], LENGTH: shape[0], BITS: (bits,) * count, COMPRESSION: 1}
    tags |= {PHOTOMETRIC: 2 if count >= 3 else 1, SAMPLES: count, _ROWS_PER_STRIP: (shape[0] + 1) // 2}
    tags |= {_STRIPS: places, _STRIP_BYTES: counts, SAMPLE_FORMAT: (_FORMATS[samples.dtype.kind],) * count}
    return tags


GREY_8 = np.add.outer(np.arange(90, dtype=np.uint16), np.arange(120, dtype=np.uint16)).astype(np.uint8)
GREY_12 = GREY_8.astype(np.uint16) * 19
