"""Directories of TIFF and BigTIFF files: their tags, which picture is the file's, where its data ends.

TIFF 6.0 section 2; BigTIFF has the same structure with 64-bit counts and positions. Nothing is decoded, every read is
checked against the end of the data, and every loop is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from lungsev.errors import UnreadableImageError

ReadAt = Callable[[int, int], bytes | memoryview]  # position and count to the bytes there, fewer at the end

TIFF_MAGICS: Final = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")  # the last two are BigTIFF's

_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_VALUES = 3 << 16  # a colour map of 16 bits
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 4096
_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_FILL_ORDER, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 266, 273, 274, 277, 278, 279, 284
_COLOUR_MAP, _TILES, _TILE_BYTES, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _DEPTH = 320, 324, 325, 338, 339, 32997
_WANTED = frozenset(
    {_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _ORIENTATION, _SAMPLES}
    | {
        _FILL_ORDER,
        _ROWS_PER_STRIP,
        _STRIP_BYTES,
        _PLANAR,
        _COLOUR_MAP,
        _TILES,
        _TILE_BYTES,
        _EXTRA_SAMPLES,
        _SAMPLE_FORMAT,
        _DEPTH,
    }
)


@dataclass(frozen=True)
class TiffDirectory:
    """What one directory says of its picture.

    Attributes:
        tags: Values of each integer tag that is needed here.
        index: Its place in the file's chain of directories.
        pictures: Pictures in the chain, without reduced copies and masks.
    """

    tags: dict[int, tuple[int, ...]]
    index: int = 0
    pictures: int = 1

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return self._first(_LENGTH, 0)

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return self._first(_WIDTH, 0)

    @property
    def samples(self) -> int:
        """Values of one pixel."""
        return self._first(_SAMPLES, 1)

    @property
    def bits(self) -> int:
        """Bits of the first sample; 1 where the file does not say."""
        return self._first(_BITS, 1)

    @property
    def has_equal_bits(self) -> bool:
        """Whether all samples have the same depth."""
        return len(set(self.tags.get(_BITS, (1,)))) == 1

    @property
    def compression(self) -> int:
        """Compression scheme; 1 is none."""
        return self._first(_COMPRESSION, 1)

    @property
    def photometric(self) -> int | None:
        """What the samples mean: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, and more."""
        return self._first(_PHOTOMETRIC, None)

    @property
    def orientation(self) -> int:
        """Orientation 1-8; 1 is upright."""
        orientation = self._first(_ORIENTATION, 1)
        return orientation if 1 <= orientation <= 8 else 1

    @property
    def is_planar(self) -> bool:
        """Whether each sample has a plane of its own."""
        return self._first(_PLANAR, 1) == 2

    @property
    def extra_samples(self) -> tuple[int, ...]:
        """What the samples behind the colour are: 0 unspecified, 1 associated alpha, 2 unassociated alpha."""
        return self.tags.get(_EXTRA_SAMPLES, ())

    @property
    def sample_format(self) -> int:
        """Type of the first sample: 1 unsigned, 2 signed, 3 float, 4 not said, 5 and 6 complex."""
        return self._first(_SAMPLE_FORMAT, 1)

    @property
    def colour_map(self) -> tuple[int, ...]:
        """Red, then green, then blue of each palette entry, 16 bits."""
        return self.tags.get(_COLOUR_MAP, ())

    @property
    def planes(self) -> int:
        """Slices of a volume; 1 for a picture."""
        return self._first(_DEPTH, 1)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each strip or tile begins and ends."""
        places = (*self.tags.get(_STRIPS, ()), *self.tags.get(_TILES, ()))
        counts = (*self.tags.get(_STRIP_BYTES, ()), *self.tags.get(_TILE_BYTES, ()))
        return tuple((place, place + count) for place, count in zip(places, counts, strict=False))

    @property
    def data_end(self) -> int:
        """Where the last strip or tile ends."""
        return max((end for _, end in self.spans), default=0)

    @property
    def has_missing_parts(self) -> bool:
        """Whether a strip or tile is left out, which some libraries fill with zeros."""
        return 0 in (*self.tags.get(_STRIP_BYTES, ()), *self.tags.get(_TILE_BYTES, ()))

    @property
    def _is_other(self) -> bool:
        """A reduced copy or a transparency mask of another picture."""
        return bool(self._first(_SUBFILE, 0) & 0b101) or self._first(_OLD_SUBFILE, 1) == 2

    def _first(self, tag: int, default: Any) -> Any:
        return self.tags.get(tag, (default,))[0]


def read_tiff_directory(read_at: ReadAt) -> TiffDirectory:
    """Read the directory of the file's picture: the first that is no reduced copy, mask or damaged remainder.

    Raises:
        UnreadableImageError: `truncated` when the first directory is cut short, `damaged` when none states a size.
    """
    found = list(_directories(read_at))
    sized = [directory for directory in found if _WIDTH in directory.tags and _LENGTH in directory.tags]
    pictures = [directory for directory in sized if not directory._is_other] or sized
    if not pictures:
        raise UnreadableImageError("damaged", "the TIFF does not state its size")
    return TiffDirectory(pictures[0].tags, pictures[0].index, len(pictures))


def read_exif_orientation(block: bytes) -> int:
    """Return the orientation 1-8 of an EXIF block, which is a TIFF without a picture; 1 where it is damaged."""
    try:
        return next(_directories(_reader(block))).orientation
    except UnreadableImageError:
        return 1


def _directories(read_at: ReadAt) -> Iterator[TiffDirectory]:
    head = bytes(read_at(0, 16))
    layout = _Layout("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
    (position,) = layout.unpack(layout.place, read_at, 8 if layout.is_big else 4)
    seen: set[int] = set()
    while position and position not in seen and len(seen) < _MAX_DIRECTORIES:
        try:
            tags, following = layout.read_directory(read_at, position)
        except UnreadableImageError:
            if not seen:
                raise
            return  # what follows the first is left of another writer's work
        yield TiffDirectory(tags, len(seen))
        seen.add(position)
        position = following
    if not seen:
        raise UnreadableImageError("damaged", "the TIFF does not state its size")


@dataclass(frozen=True)
class _Layout:
    """Byte order and the widths of counts and positions."""

    order: str
    is_big: bool

    @property
    def place(self) -> str:
        return "Q" if self.is_big else "I"

    def unpack(self, layout: str, read_at: ReadAt, position: int) -> tuple[Any, ...]:
        size = struct.calcsize(self.order + layout)
        data = read_at(position, size)
        if len(data) < size:
            raise UnreadableImageError("truncated", "the header of the image data is cut short")
        return struct.unpack(self.order + layout, data)

    def read_directory(self, read_at: ReadAt, position: int) -> tuple[dict[int, tuple[int, ...]], int]:
        count_size, entry_size = (8, 20) if self.is_big else (2, 12)
        (count,) = self.unpack("Q" if self.is_big else "H", read_at, position)
        if count > _MAX_ENTRIES:
            raise UnreadableImageError("damaged", f"the TIFF's directory claims {count} entries")
        first = position + count_size
        (following,) = self.unpack(self.place, read_at, first + entry_size * count)
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(first, first + entry_size * count, entry_size):
            tag, kind, values = self.unpack("HH" + self.place, read_at, entry)
            if tag in _WANTED and kind in _TYPES and 0 < values <= _MAX_VALUES:
                tags[tag] = self._values(read_at, entry, f"{values}{_TYPES[kind]}")
        return tags, int(following)

    def _values(self, read_at: ReadAt, entry: int, layout: str) -> tuple[int, ...]:
        """In the entry itself where they fit, else where it says."""
        place = entry + (12 if self.is_big else 8)
        if struct.calcsize(self.order + layout) > (8 if self.is_big else 4):
            (place,) = self.unpack(self.place, read_at, place)
        return self.unpack(layout, read_at, place)


def _reader(data: bytes) -> ReadAt:
    return lambda position, count: data[position : position + count]
