"""Which codec opens which transfer syntax: one table, no guessing at run time.

imagecodecs (BSD) is the only library with permissive decoders for every family here, 12-bit and lossless JPEG
included; it was also the fastest of those tried. The codestream's own header is compared with the dataset's before
it is decoded, since a decoder allocates what the codestream asks for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import UnreadableImageError
from lungsev.reading.codestream import (
    CodestreamHeader,
    CodestreamKind,
    jpeg_2000_start,
    read_codestream_header,
)
from lungsev.reading.formats.jpeg import decode_jpeg, require_jpeg_end

Array = npt.NDArray[np.generic]
Encoded = Any  # bytes; of native data a view, since copying it costs as much as decoding it

# A codec may allocate what a codestream of a few bytes asks for. Above the floor an image must bring at least one byte
# for so many decoded ones; the emptiest real images reach 60:1 in lossless JPEG 2000.
MAX_EXPANSION = 400
EXPANSION_FLOOR_BYTES = 16 * 1024 * 1024
# Shorter side that is left at half size: twice the canvas, on which the exposed field is laid.
MIN_HALF_SIDE_PX = 1024
HALF_SIZE = " at half size"  # ends the name of a codec that leaves out the finest level


@dataclass(frozen=True)
class FrameShape:
    """What the dataset says its one frame holds.

    Attributes:
        bits_allocated: 8 or 16.
        signed: Pixel Representation is 1.
        in_words: Native pixel data is OW; two 8-bit values then share a word and its byte order (PS3.5 8.1.1).
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    big_endian: bool = False
    in_words: bool = False

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of a value in native pixel data, with its byte order."""
        order = ">" if self.big_endian else "<"
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of the decoded frame."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True)
class Codec:
    """How one transfer syntax is opened.

    Attributes:
        name: What the report says in `image.decoder`.
        decode: Encoded frame to an array of rows x columns.
        codestream: Kind of the codestream's own header; None where there is none.
        by_sample: Decoded values are samples of the codestream's precision, not words of BitsAllocated with a HighBit.
        at_half_size: The same at half size and enlarged again, for images that have pixels to spare.
    """

    name: str
    decode: Callable[[Encoded, FrameShape], Array]
    codestream: CodestreamKind | None = None
    by_sample: bool = False
    at_half_size: Codec | None = None


def codec_for(syntax: str) -> Codec:
    """Return the codec of a transfer syntax.

    Raises:
        UnreadableImageError: `unsupported_syntax`.
    """
    if syntax not in CODECS:
        raise UnreadableImageError(
            "unsupported_syntax", f"transfer syntax {printable_uid(syntax)} is not supported; send another encoding"
        )
    return CODECS[syntax]


def load_codecs() -> None:
    """Load the libraries that are otherwise loaded with the first image that needs them."""
    import imagecodecs
    import PIL.Jpeg2KImagePlugin  # noqa: F401
    import simplejpeg  # noqa: F401

    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode", "packbits_decode"):
        getattr(imagecodecs, name)


def decode_frame(encoded: Encoded, codec: Codec, shape: FrameShape) -> Array:
    """Decode one frame to its values as the codec gives them, [rows, columns].

    Args:
        encoded: Native pixel data, or the joined fragments of the frame.
        codec: The codec of the transfer syntax.
        shape: What the dataset says; a codestream that says otherwise is refused.

    Raises:
        UnreadableImageError: `wrong_shape`, `too_large`, `truncated` or `damaged`.
    """
    if codec.codestream is not None:
        check_expansion(len(encoded), shape.frame_bytes)
        _check_codestream(_read_header(codec, encoded), shape)
    try:
        decoded = codec.decode(encoded, shape)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception:  # codecs raise many types; the text may quote the file
        raise UnreadableImageError("damaged", f"the pixel data cannot be decoded by {codec.name}") from None
    if decoded.shape != (shape.rows, shape.columns):
        found = " x ".join(map(str, decoded.shape))
        raise UnreadableImageError("wrong_shape", f"decoded {found} values, expected {shape.rows} x {shape.columns}")
    return decoded


def decode_quickly(encoded: Encoded, codec: Codec, shape: FrameShape) -> tuple[Array, Codec]:
    """Decode one frame at half size where its codec can and enough pixels are left, else as it is.

    Args:
        encoded: As for `decode_frame`.
        codec: The codec of the transfer syntax.
        shape: What the dataset says.

    Returns:
        Values [rows, columns], and the codec that gave them.

    Raises:
        UnreadableImageError: As from `decode_frame`.
    """
    if codec.at_half_size is not None and min(shape.rows, shape.columns) >= 2 * MIN_HALF_SIDE_PX:
        with contextlib.suppress(UnreadableImageError):  # what only the other decoder can read, it reads
            return decode_frame(encoded, codec.at_half_size, shape), codec.at_half_size
    return decode_frame(encoded, codec, shape), codec


def check_expansion(encoded_bytes: int, decoded_bytes: int) -> None:
    """Refuse data that claims to hold far more than it can.

    Raises:
        UnreadableImageError: `too_large`.
    """
    if decoded_bytes > max(EXPANSION_FLOOR_BYTES, MAX_EXPANSION * encoded_bytes):
        raise UnreadableImageError(
            "too_large",
            f"{encoded_bytes} bytes claim to hold an image of {decoded_bytes}: more than {MAX_EXPANSION} times as much",
        )


def stated_sign(encoded: Encoded, codec: Codec) -> bool | None:
    """Return whether the codestream says that its samples are signed; None where it does not speak of it."""
    return None if codec.codestream is None else _read_header(codec, encoded).signed


def printable_uid(text: str) -> str:
    """Return a UID that is safe in a message: digits and dots only."""
    cleaned = "".join(c for c in text if c in "0123456789.")[:64]
    return cleaned or "(none)"


def _read_header(codec: Codec, encoded: Encoded) -> CodestreamHeader:
    damaged = UnreadableImageError("damaged", f"the pixel data is not a codestream for {codec.name}")
    try:
        header = read_codestream_header(encoded)
    except UnreadableImageError:
        raise damaged from None
    if header.kind != codec.codestream:
        raise damaged
    return header


def _check_codestream(header: CodestreamHeader, shape: FrameShape) -> None:
    if (header.rows, header.columns) != (shape.rows, shape.columns) or header.components != 1:
        raise UnreadableImageError(
            "wrong_shape",
            f"the codestream holds {header.rows} x {header.columns} x {header.components} values, "
            f"the header says {shape.rows} x {shape.columns} x 1",
        )
    if not 1 <= header.precision <= shape.bits_allocated:
        raise UnreadableImageError(
            "wrong_shape", f"the codestream has {header.precision} bits, expected 1 to {shape.bits_allocated}"
        )


def _decode_native(encoded: Encoded, shape: FrameShape) -> Array:
    missing = shape.frame_bytes - len(encoded)
    if missing > 0:
        raise UnreadableImageError(
            "truncated", f"pixel data of {len(encoded)} bytes, expected {shape.frame_bytes}: the file was cut short"
        )
    # Some writers pad; a whole row more is another shape than the header's.
    if -missing >= max(shape.columns * shape.bits_allocated // 8, 2):
        raise UnreadableImageError(
            "wrong_shape", f"pixel data of {len(encoded)} bytes, expected {shape.frame_bytes} for the stated size"
        )
    if shape.big_endian and shape.in_words and shape.bits_allocated == 8:
        encoded = np.frombuffer(encoded, np.uint16, count=len(encoded) // 2).byteswap().tobytes()
    values = np.frombuffer(encoded, shape.dtype, count=shape.rows * shape.columns)
    return values.reshape(shape.rows, shape.columns)


def _decode_jpeg(encoded: Encoded, shape: FrameShape) -> Array:
    decoded = decode_jpeg(encoded, read_codestream_header(encoded))
    assert decoded is not None  # of one component, as was checked
    return decoded


def _decode_jpeg_ls(encoded: Encoded, shape: FrameShape) -> Array:
    import imagecodecs

    require_jpeg_end(encoded)  # CharLS 2.4 may loop for a minute where the data ends too early
    return np.asarray(imagecodecs.jpegls_decode(encoded))


def _decode_jpeg_2000(encoded: Encoded, shape: FrameShape) -> Array:
    import imagecodecs

    from lungsev.reading.formats.jpeg2000 import require_all_tiles

    data = bytes(encoded)
    require_all_tiles(data[jpeg_2000_start(data) :])
    return np.asarray(imagecodecs.jpeg2k_decode(encoded, numthreads=2))


def _decode_jpeg_2000_at_half_size(encoded: Encoded, shape: FrameShape) -> Array:
    from lungsev.reading.formats.jpeg2000 import decode_at_half_size, require_all_tiles

    data = bytes(encoded)
    codestream = data[jpeg_2000_start(data) :]
    require_all_tiles(codestream)
    return decode_at_half_size(codestream)


def _decode_rle(encoded: Encoded, shape: FrameShape) -> Array:
    """Each segment is a plane of bytes, the highest first (PS3.5 G.2); some writers end it with a few bytes more."""
    planes, pixels = shape.bits_allocated // 8, shape.rows * shape.columns
    count, *offsets = np.frombuffer(encoded, "<u4", count=16).tolist()
    if count != planes:
        raise UnreadableImageError("damaged", f"the RLE data holds {count} segments, expected {planes}")
    values = np.empty((pixels, planes), np.uint8)
    # Given the room it may fill, the decoder stops there; left alone it allocates what the runs add up to.
    room = bytearray(pixels + shape.columns)
    for plane, (start, end) in enumerate(zip(offsets, [*offsets[1:planes], len(encoded)], strict=False)):
        filled = _unpack_bits(encoded[start:end], room) if 64 <= start < end else 0
        if filled < pixels:
            raise UnreadableImageError("truncated", f"the RLE data holds {filled} bytes, expected {pixels}")
        values[:, planes - 1 - plane] = np.frombuffer(room, np.uint8, count=pixels)
    return values.view(np.dtype(f"<{shape.dtype.kind}{planes}")).reshape(shape.rows, shape.columns)


def _unpack_bits(segment: Encoded, room: bytearray) -> int:
    """Fill the room; return how many bytes there are. A last byte that begins a run of nothing is left out."""
    import imagecodecs

    try:
        return len(imagecodecs.packbits_decode(segment, out=room))
    except imagecodecs.PackbitsError:
        return len(imagecodecs.packbits_decode(segment[:-1], out=room))


NATIVE = Codec("native", _decode_native)
_JPEG = Codec("imagecodecs/libjpeg-turbo", _decode_jpeg, "jpeg", by_sample=True)
_JPEG_LS = Codec("imagecodecs/charls", _decode_jpeg_ls, "jpeg", by_sample=True)
_JPEG_2000_HALF = Codec(f"pillow/openjpeg{HALF_SIZE}", _decode_jpeg_2000_at_half_size, "jpeg2000", by_sample=True)
_JPEG_2000 = Codec("imagecodecs/openjpeg", _decode_jpeg_2000, "jpeg2000", by_sample=True, at_half_size=_JPEG_2000_HALF)
_RLE = Codec("imagecodecs/packbits", _decode_rle)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

CODECS: dict[str, Codec] = {
    IMPLICIT_LITTLE: NATIVE,
    EXPLICIT_LITTLE: NATIVE,
    DEFLATED: NATIVE,
    EXPLICIT_BIG: NATIVE,
    "1.2.840.10008.1.2.5": _RLE,
    "1.2.840.10008.1.2.4.50": _JPEG,  # baseline, 8 bits
    "1.2.840.10008.1.2.4.51": _JPEG,  # extended, 8 and 12 bits
    "1.2.840.10008.1.2.4.57": _JPEG,  # lossless, process 14
    "1.2.840.10008.1.2.4.70": _JPEG,  # lossless, process 14, selection value 1
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,  # near-lossless
    "1.2.840.10008.1.2.4.90": _JPEG_2000,  # lossless only
    "1.2.840.10008.1.2.4.91": _JPEG_2000,
    "1.2.840.10008.1.2.4.201": _JPEG_2000,  # high throughput, lossless only
    "1.2.840.10008.1.2.4.202": _JPEG_2000,  # high throughput, lossless with RPCL
    "1.2.840.10008.1.2.4.203": _JPEG_2000,  # high throughput
}
