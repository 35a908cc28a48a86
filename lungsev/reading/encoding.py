"""Encode stored values as the pixel data of a transfer syntax, for phantoms and outputs."""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import RLELossless

Stored = npt.NDArray[np.integer]

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
RLE = str(RLELossless)

# Settings of the lossy encoders, with the quality that X-ray units write.
JPEG_QUALITY = 95
NEAR_LOSSLESS_ERROR = 2
JPEG_2000_PSNR_DB = 60


def encode_frame(stored: Stored, syntax: str, bits_stored: int) -> bytes:
    """Encode one frame to its codestream.

    Args:
        stored: uint8 or uint16 [rows, columns].
        syntax: A transfer syntax UID of `ENCODERS`.
        bits_stored: Bits of a value, 1 to those of the type.

    Raises:
        ValueError: The syntax is not one of `ENCODERS`.
    """
    if syntax not in ENCODERS:
        raise ValueError(f"no encoder for transfer syntax {syntax}; known are {', '.join(ENCODERS)}")
    return bytes(ENCODERS[syntax](np.ascontiguousarray(stored), bits_stored))


def encode_pixel_data(stored: Stored, syntax: str, bits_stored: int) -> bytes:
    """Encode one frame to the value of an encapsulated Pixel Data element (PS3.5 A.4)."""
    return bytes(encapsulate([encode_frame(stored, syntax, bits_stored)]))


def _jpeg(stored: Stored, bits_stored: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(stored, JPEG_QUALITY, bitspersample=8 if bits_stored <= 8 else 12))


def _jpeg_lossless(stored: Stored, bits_stored: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=bits_stored))


def _jpeg_ls(stored: Stored, bits_stored: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(stored))


def _jpeg_ls_near(stored: Stored, bits_stored: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(stored, level=NEAR_LOSSLESS_ERROR))


def _jpeg_2000_lossless(stored: Stored, bits_stored: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(stored, reversible=True, codecformat="j2k", bitspersample=bits_stored))


def _jpeg_2000(stored: Stored, bits_stored: int) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(stored, level=JPEG_2000_PSNR_DB, codecformat="j2k", bitspersample=bits_stored)
    )


def _htj2k(stored: Stored, bits_stored: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(stored, reversible=True))


def _rle(stored: Stored, bits_stored: int) -> bytes:
    rows, columns = stored.shape
    words = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
    return bytes(
        get_encoder(RLELossless).encode(
            words.tobytes(),
            rows=rows,
            columns=columns,
            samples_per_pixel=1,
            bits_allocated=8 * stored.dtype.itemsize,
            bits_stored=bits_stored,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            number_of_frames=1,
        )
    )


ENCODERS: dict[str, Callable[[Stored, int], bytes]] = {
    JPEG_BASELINE: _jpeg,
    JPEG_EXTENDED: _jpeg,
    JPEG_LOSSLESS: _jpeg_lossless,
    JPEG_LOSSLESS_SV1: _jpeg_lossless,
    JPEG_LS_LOSSLESS: _jpeg_ls,
    JPEG_LS_NEAR: _jpeg_ls_near,
    JPEG_2000_LOSSLESS: _jpeg_2000_lossless,
    JPEG_2000: _jpeg_2000,
    **({HTJ2K_LOSSLESS: _htj2k} if hasattr(imagecodecs, "htj2k_encode") else {}),  # not on Python 3.10
    RLE: _rle,
}
