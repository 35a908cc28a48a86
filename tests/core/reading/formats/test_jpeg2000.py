"""JPEG 2000: cut codestreams are refused; at half size nothing moves, and what it cannot do the whole decoder does."""

from __future__ import annotations

import struct
from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lungsev.errors import UnreadableImageError
from lungsev.reading.codecs import HALF_SIZE, FrameShape, codec_for, decode_frame, decode_quickly
from lungsev.reading.encoding import ENCODERS, HTJ2K_LOSSLESS, JPEG_2000, JPEG_2000_LOSSLESS, encode_frame
from lungsev.reading.formats.jpeg2000 import decode_at_half_size, require_all_tiles


def smooth(bits: int, rows: int, columns: int, signed: bool = False) -> npt.NDArray[np.integer]:
    y, x = np.mgrid[:rows, :columns]
    values = ((np.sin(y / 13) * np.cos(x / 17) + 1) / 2 * ((1 << bits) - 1)).astype(np.int64)
    values -= (1 << (bits - 1)) if signed else 0
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


@pytest.mark.parametrize(("rows", "columns"), [(130, 152), (131, 151)])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_smooth_image_stays_where_it_is(bits: int, signed: bool, rows: int, columns: int) -> None:
    whole = smooth(bits, rows, columns, signed)
    codestream = bytes(imagecodecs.jpeg2k_encode(whole, reversible=True, codecformat="j2k", bitspersample=bits))
    decoded = decode_at_half_size(codestream)
    assert decoded.shape == whole.shape
    assert decoded.dtype.kind == whole.dtype.kind
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(decoded.astype(int)[inside], whole.astype(int)[inside], atol=max(2, 0.012 * (1 << bits)))


@pytest.mark.parametrize(
    "syntax", [each for each in (JPEG_2000_LOSSLESS, JPEG_2000, HTJ2K_LOSSLESS) if each in ENCODERS]
)
def test_the_canvas_of_half_the_pixels_is_that_of_all(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.reading.codecs.MIN_HALF_SIDE_PX", 64)
    noise = np.random.default_rng(0).integers(0, 60, (256, 300))
    whole = (smooth(12, 256, 300) // 2 + noise).astype(np.uint16)
    encoded, shape = encode_frame(whole, syntax, 12), FrameShape(256, 300, 16, 12, False)
    decoded, codec = decode_quickly(encoded, codec_for(syntax), shape)
    assert codec.name.endswith(HALF_SIZE)
    complete = decode_frame(encoded, codec_for(syntax), shape)
    smaller = [
        cv2.resize(image.astype(np.float32), (75, 64), interpolation=cv2.INTER_AREA) for image in (decoded, complete)
    ]
    assert np.abs(smaller[0] - smaller[1]).mean() < 8


@pytest.mark.parametrize(
    ("rows", "columns", "is_half"), [(128, 200, True), (200, 128, True), (127, 200, False), (200, 127, False)]
)
def test_enough_pixels_must_be_left_on_the_shorter_side(
    rows: int, columns: int, is_half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lungsev.reading.codecs.MIN_HALF_SIDE_PX", 64)
    whole = smooth(12, rows, columns)
    encoded = encode_frame(whole, JPEG_2000_LOSSLESS, 12)
    decoded, codec = decode_quickly(encoded, codec_for(JPEG_2000_LOSSLESS), FrameShape(rows, columns, 16, 12, False))
    assert codec.name.endswith(HALF_SIZE) == is_half
    assert np.array_equal(decoded, whole) == (not is_half)


def test_a_codestream_in_its_jp2_file_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.reading.codecs.MIN_HALF_SIDE_PX", 32)
    boxed = bytes(imagecodecs.jpeg2k_encode(smooth(8, 70, 90), reversible=True, codecformat="jp2"))
    _, codec = decode_quickly(boxed, codec_for(JPEG_2000_LOSSLESS), FrameShape(70, 90, 8, 8, False))
    assert codec.name.endswith(HALF_SIZE)


def test_an_image_without_levels_or_cut_short_is_left_to_the_whole_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.reading.codecs.MIN_HALF_SIDE_PX", 32)
    whole, shape = smooth(8, 70, 90), FrameShape(70, 90, 8, 8, False)
    encoded = bytes(imagecodecs.jpeg2k_encode(whole, reversible=True, codecformat="j2k", resolutions=1))
    decoded, codec = decode_quickly(encoded, codec_for(JPEG_2000_LOSSLESS), shape)
    assert not codec.name.endswith(HALF_SIZE)
    np.testing.assert_array_equal(decoded, whole)
    codestream = bytes(imagecodecs.jpeg2k_encode(whole, reversible=True, codecformat="j2k"))
    for kept in (0.4, 0.7, 0.95):
        with pytest.raises(OSError, match=r"broken|truncated|decod"):
            decode_at_half_size(codestream[: int(kept * len(codestream))] + b"\xff\xd9")


@pytest.mark.parametrize(("field", "value"), [(2, 3), (3, 1), (4, 32), (5, 32), (6, 2), (7, 2)])
def test_tiles_and_origins_are_left_to_the_whole_decoder(field: int, value: int) -> None:
    codestream = bytearray(imagecodecs.jpeg2k_encode(smooth(8, 70, 90), reversible=True, codecformat="j2k"))
    struct.pack_into(">I", codestream, 8 + 4 * field, value)
    with pytest.raises(ValueError, match="tiles or components, or an origin"):
        decode_at_half_size(bytes(codestream))


def pillow(image: npt.NDArray[np.integer], **settings: object) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG2000", no_jp2=True, **settings)
    return stream.getvalue()


NOISE = np.random.default_rng(1).integers(0, 4096, (256, 300)).astype(np.uint16)
WHOLE = {
    "one tile": pillow(NOISE),
    "tiles": pillow(NOISE, tile_size=(128, 128)),
    "precincts": pillow(NOISE, precinct_size=(64, 64), progression="PCRL"),
    "layers": pillow(NOISE, quality_layers=[20, 8, 1]),
    "one grey": pillow(np.full((256, 300), 2048, np.uint16), precinct_size=(64, 64)),
    "half of one grey": pillow(np.where(np.arange(256)[:, None] < 128, NOISE, 0).astype(np.uint16), tile_size=(64, 64)),
}
if HTJ2K_LOSSLESS in ENCODERS:  # not on Python 3.10
    WHOLE["high throughput"] = encode_frame(NOISE, HTJ2K_LOSSLESS, 12)


def decode(codestream: bytes) -> npt.NDArray[np.generic]:
    return decode_frame(codestream, codec_for(JPEG_2000_LOSSLESS), FrameShape(256, 300, 16, 12, False))


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_codestream_has_all_tiles(kind: str) -> None:
    require_all_tiles(WHOLE[kind])
    require_all_tiles(WHOLE[kind] + b"\0")


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", [kind for kind in WHOLE if "grey" not in kind])
def test_a_cut_codestream_is_refused_with_an_end_with_zeros_and_with_another_length(kind: str, kept: float) -> None:
    whole = WHOLE[kind]
    part = whole.index(b"\xff\x90")
    cut = whole[: part + int(kept * (len(whole) - part))]
    relabelled = cut[: part + 6] + struct.pack(">I", 0) + cut[part + 10 :]
    zeros = bytes(len(whole) - len(cut) - 2)
    for codestream in (cut, cut + b"\xff\xd9", cut + zeros + b"\xff\xd9", relabelled + b"\xff\xd9"):
        with pytest.raises(UnreadableImageError) as caught:
            decode(codestream)
        assert caught.value.code in ("truncated", "damaged")


def test_a_codestream_without_its_last_tile_names_the_tiles() -> None:
    whole = WHOLE["tiles"]
    with pytest.raises(UnreadableImageError, match="5 of 6 tiles") as caught:
        decode(whole[: whole.rindex(b"\xff\x90\x00\x0a")] + b"\xff\xd9")
    assert caught.value.code == "truncated"
