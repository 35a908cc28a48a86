"""Encoders write what independent decoders read."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.encaps import generate_fragments, generate_frames

from lungsev.reading.codecs import CODECS
from lungsev.reading.codestream import read_codestream_header
from lungsev.reading.encoding import ENCODERS, JPEG_BASELINE, RLE, encode_frame, encode_pixel_data


def ramp(bits: int) -> np.ndarray:
    values = np.linspace(0, (1 << bits) - 1, 40 * 50).reshape(40, 50)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def test_every_encoder_has_a_decoder() -> None:
    assert set(ENCODERS) <= set(CODECS)


@pytest.mark.parametrize("syntax", sorted(set(ENCODERS) - {RLE}))
def test_the_codestream_states_size_and_depth(syntax: str) -> None:
    bits = 8 if syntax == JPEG_BASELINE else 12
    header = read_codestream_header(encode_frame(ramp(bits), syntax, bits))
    assert (header.rows, header.columns, header.components) == (40, 50, 1)
    assert bits <= header.precision <= 16


def test_pixel_data_is_one_frame_behind_its_offset_table() -> None:
    stored = ramp(12)
    value = encode_pixel_data(stored, RLE, 12)
    frame = encode_frame(stored, RLE, 12)
    assert len(list(generate_fragments(value))) >= 1
    (read,) = generate_frames(value, number_of_frames=1)
    assert read.rstrip(b"\0") == frame.rstrip(b"\0")


def test_values_that_are_not_contiguous_are_encoded() -> None:
    stored = ramp(12)
    assert encode_frame(stored[:, ::-1], RLE, 12) == encode_frame(np.ascontiguousarray(stored[:, ::-1]), RLE, 12)


def test_a_syntax_without_encoder_is_named() -> None:
    with pytest.raises(ValueError, match=r"no encoder for transfer syntax 1\.2\.3; known are 1\.2\.840"):
        encode_frame(ramp(8), "1.2.3", 8)
