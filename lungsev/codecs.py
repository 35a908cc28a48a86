"""Which codec opens which transfer syntax: one table, no guessing at run time.

imagecodecs (BSD) is the only library with permissive decoders for every family here, 12-bit and lossless JPEG
included; it was also the fastest of those tried. The codestream's own header is compared with the dataset's before a
decoder sees a byte, since a decoder allocates what the codestream asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungsev.errors import UnreadableFilmError

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class FrameShape:
    """What the dataset says its one frame holds.

    Attributes:
        bits_allocated: 8 or 16.
        signed: Pixel Representation is 1.
    """

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    big_endian: bool = False

    @property
    def dtype(self) -> np.dtype[np.generic]:
        order = ">" if self.big_endian else "<"
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True)
class CodestreamHeader:
    """What a codestream says of itself. `precision` is in bits."""

    rows: int
    columns: int
    components: int
    precision: int


@dataclass(frozen=True)
class Codec:
    """How one transfer syntax is opened.

    Attributes:
        name: As in the report's `image.decoder`.
        header: Reads the codestream's own header; None where there is none to read.
        decode: Encoded frame to an array of rows x columns.
    """

    name: str
    header: Callable[[bytes], CodestreamHeader] | None
    decode: Callable[[bytes, FrameShape], Array]


def decode_frame(encoded: bytes, syntax: str, shape: FrameShape) -> tuple[Array, str]:
    """Stored values of one frame, [rows, columns], and the codec's name.

    Args:
        encoded: Native pixel data, or the joined fragments of the frame.
        syntax: Transfer Syntax UID.

    Raises:
        UnreadableFilmError: `unsupported_syntax`, `wrong_shape`, `truncated` or `damaged`.
    """
    codec = CODECS.get(syntax)
    if codec is None:
        raise UnreadableFilmError("unsupported_syntax", f"transfer syntax {printable_uid(syntax)} is not supported")
    if codec.header is not None:
        _check_codestream(_read_header(codec, encoded), shape)
    try:
        decoded = codec.decode(encoded, shape)
    except UnreadableFilmError:
        raise
    except Exception:  # codecs raise what they like; the text may quote the file
        raise UnreadableFilmError("damaged", f"the pixel data cannot be decoded by {codec.name}") from None
    if decoded.shape != (shape.rows, shape.columns):
        found = " x ".join(map(str, decoded.shape))
        raise UnreadableFilmError("wrong_shape", f"decoded {found} values, expected {shape.rows} x {shape.columns}")
    return decoded, codec.name


def is_encapsulated(syntax: str) -> bool:
    """Whether the pixel data comes as fragments."""
    return syntax in CODECS and CODECS[syntax].decode is not _decode_native


def printable_uid(text: str) -> str:
    """A UID that is safe in a message: digits and dots only."""
    cleaned = "".join(c for c in text if c in "0123456789.")[:64]
    return cleaned or "(none)"


def _read_header(codec: Codec, encoded: bytes) -> CodestreamHeader:
    assert codec.header is not None
    try:
        return codec.header(encoded)
    except (struct.error, IndexError, ValueError):
        raise UnreadableFilmError("damaged", f"the pixel data is no codestream for {codec.name}") from None


def _check_codestream(header: CodestreamHeader, shape: FrameShape) -> None:
    if (header.rows, header.columns) != (shape.rows, shape.columns) or header.components != 1:
        raise UnreadableFilmError(
            "wrong_shape",
            f"the codestream holds {header.rows} x {header.columns} x {header.components} values, "
            f"the header says {shape.rows} x {shape.columns} x 1",
        )
    if not 1 <= header.precision <= 16:
        raise UnreadableFilmError("wrong_shape", f"the codestream has {header.precision} bits, expected 1 to 16")


def _decode_native(encoded: bytes, shape: FrameShape) -> Array:
    missing = shape.frame_bytes - len(encoded)
    if missing > 0:
        raise UnreadableFilmError(
            "truncated", f"pixel data of {len(encoded)} bytes, expected {shape.frame_bytes}: the file was cut short"
        )
    # One pad byte makes odd lengths even; more than that is another shape than the header's (PS3.5 8.1.1).
    if missing < -1:
        raise UnreadableFilmError(
            "wrong_shape", f"pixel data of {len(encoded)} bytes, expected {shape.frame_bytes} for the stated size"
        )
    values = np.frombuffer(encoded, shape.dtype, count=shape.rows * shape.columns)
    return values.reshape(shape.rows, shape.columns)


def _decode_jpeg(encoded: bytes, shape: FrameShape) -> Array:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg8_decode(encoded))


def _decode_jpeg_ls(encoded: bytes, shape: FrameShape) -> Array:
    import imagecodecs

    return np.asarray(imagecodecs.jpegls_decode(encoded))


def _decode_jpeg_2000(encoded: bytes, shape: FrameShape) -> Array:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(encoded, numthreads=2))


def _decode_rle(encoded: bytes, shape: FrameShape) -> Array:
    import imagecodecs

    flat = imagecodecs.dicomrle_decode(encoded, dtype=shape.dtype)
    return np.frombuffer(flat, shape.dtype).reshape(shape.rows, shape.columns)


def _jpeg_header(encoded: bytes) -> CodestreamHeader:
    """SOF of a JPEG or JPEG-LS codestream (T.81 B.2.2, T.87 C.2.2)."""
    if encoded[:2] != b"\xff\xd8":
        raise ValueError("no start of image")
    position = 2
    while True:
        if encoded[position] != 0xFF:
            raise ValueError("no marker")
        marker = encoded[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack(">H", encoded[position + 2 : position + 4])
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            precision, rows, columns, components = struct.unpack(">BHHB", encoded[position + 4 : position + 10])
            return CodestreamHeader(rows, columns, components, precision)
        if marker in (0xDA, 0xD9):
            raise ValueError("pixels before the frame header")
        position += 2 + length


def _jpeg_2000_header(encoded: bytes) -> CodestreamHeader:
    """SIZ of a JPEG 2000 codestream (T.800 A.5.1), bare or in a JP2 file."""
    start = encoded.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0:
        raise ValueError("no SIZ")
    right, lower, left, upper = struct.unpack(">IIII", encoded[start + 8 : start + 24])
    (components,) = struct.unpack(">H", encoded[start + 40 : start + 42])
    precision = (encoded[start + 42] & 0x7F) + 1
    return CodestreamHeader(lower - upper, right - left, components, precision)


_NATIVE = Codec("native", None, _decode_native)
_JPEG = Codec("imagecodecs/libjpeg-turbo", _jpeg_header, _decode_jpeg)
_JPEG_LS = Codec("imagecodecs/charls", _jpeg_header, _decode_jpeg_ls)
_JPEG_2000 = Codec("imagecodecs/openjpeg", _jpeg_2000_header, _decode_jpeg_2000)
_RLE = Codec("imagecodecs/dicomrle", None, _decode_rle)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

CODECS: dict[str, Codec] = {
    IMPLICIT_LITTLE: _NATIVE,
    EXPLICIT_LITTLE: _NATIVE,
    DEFLATED: _NATIVE,
    EXPLICIT_BIG: _NATIVE,
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
