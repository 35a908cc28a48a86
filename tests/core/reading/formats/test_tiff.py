"""A TIFF gives the values that a PNG of the same picture would give, or the reason why it does not."""

from __future__ import annotations

from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tiff_files import (
    BITS,
    COLOUR_MAP,
    COMPRESSION,
    DEPTH,
    EXTRA_SAMPLES,
    GREY_8,
    GREY_12,
    ORIENTATION,
    PHOTOMETRIC,
    PLANAR,
    SAMPLE_FORMAT,
    SUBFILE,
    pack,
    tiff_file,
)

from lungsev.errors import ImageError, UnreadableImageError
from lungsev.reading.formats.tiff_directory import read_tiff_directory
from lungsev.reading.limits import ReadLimits
from lungsev.reading.pictures import decode_picture

RAMP = tuple(257 * (255 - index) for index in range(256))
COLOUR = np.dstack([GREY_8, GREY_8 // 2, 255 - GREY_8])
ZEROS = np.zeros_like(GREY_8)


def read(data: bytes) -> npt.NDArray[np.integer]:
    return decode_picture(data, ReadLimits()).values


def read_png(picture: npt.NDArray[np.generic]) -> npt.NDArray[np.integer]:
    return read(
        cv2.imencode(".png", picture[..., [2, 1, 0, *range(3, picture.shape[2])]] if picture.ndim == 3 else picture)[
            1
        ].tobytes()
    )


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("grey", [GREY_8, GREY_12])
def test_grey_in_every_container_is_the_same(grey: npt.NDArray[np.integer], first: bool, order: str, big: bool) -> None:
    np.testing.assert_array_equal(read(tiff_file((grey, {}), order=order, big=big, first=first)), grey)


@pytest.mark.parametrize("scale", [1, 257])
def test_a_palette_is_looked_up(scale: int) -> None:
    """256 entries in 16 bits, as the standard says, or in 8, as some write them."""
    palette = tuple(value // 257 * scale for value in RAMP) * 3
    np.testing.assert_array_equal(read(tiff_file((GREY_8, {PHOTOMETRIC: 3, COLOUR_MAP: palette}))), 255 - GREY_8)


def test_a_palette_of_colours_is_as_grey_as_the_png_of_its_colours() -> None:
    red, green, blue = RAMP, tuple(reversed(RAMP)), tuple(value // 3 for value in RAMP)
    palette = np.array([red, green, blue]).T // 256
    found = read(tiff_file((GREY_8, {PHOTOMETRIC: 3, COLOUR_MAP: (*red, *green, *blue)})))
    np.testing.assert_array_equal(found, read_png(palette.astype(np.uint8)[GREY_8]))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_entries_is_looked_up(bits: int) -> None:
    indices = GREY_8 >> (8 - bits)
    packed = np.packbits(np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(90, -1), axis=1)
    palette = tuple(65535 - 65535 * index // ((1 << bits) - 1) for index in range(1 << bits)) * 3
    tags = {PHOTOMETRIC: 3, COLOUR_MAP: palette, BITS: bits, 256: 120}
    np.testing.assert_array_equal(read(tiff_file((packed, tags))), np.array(palette[: 1 << bits])[indices] >> 8)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white", [0, 1])
def test_few_bits_fill_the_range_of_eight(bits: int, white: int) -> None:
    values = GREY_8 >> (8 - bits)
    packed = np.packbits(np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(90, -1), axis=1)
    shown = values if white else (1 << bits) - 1 - values
    found = read(tiff_file((packed, {PHOTOMETRIC: white, BITS: bits, 256: 120})))
    np.testing.assert_array_equal(found, shown * (255 // ((1 << bits) - 1)))


def test_a_palette_too_short_for_its_indices_is_damaged() -> None:
    with pytest.raises(UnreadableImageError) as caught:
        read(tiff_file((GREY_8, {PHOTOMETRIC: 3, COLOUR_MAP: RAMP})))
    assert caught.value.code == "damaged"
    assert "256 values, expected 768" in str(caught.value)


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8", "u4", "u8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_and_wide_integers_keep_their_steps(dtype: str, order: str) -> None:
    shift = 2048 if dtype[0] == "i" else 0
    found = read(tiff_file(((GREY_12.astype(np.int64) - shift).astype(dtype), {}), order=order))
    np.testing.assert_array_equal(found, GREY_12)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floating_point_is_spread_and_a_hot_pixel_stays_alone(dtype: str) -> None:
    values = (GREY_8 / 256).astype(dtype)
    values[3, 4] = 60000
    found = read(tiff_file((values, {}))).astype(int)
    assert found[3, 4] == 65535
    ends = [found[0, 0], found.ravel()[GREY_8.argmax()]]
    assert ends[1] - ends[0] > 30_000
    np.testing.assert_allclose(found[50], np.interp(GREY_8[50], [0, GREY_8.max()], ends), atol=300)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_white_as_zero_is_turned_round(dtype: str) -> None:
    found = read(tiff_file((GREY_8.astype(dtype), {PHOTOMETRIC: 0}))).astype(int)
    assert np.corrcoef(found.ravel(), GREY_8.ravel())[0, 1] == pytest.approx(-1, abs=1e-4)
    if dtype[0] == "u":
        np.testing.assert_array_equal(found, np.iinfo(dtype).max - GREY_8.astype(int))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_planes_of_their_own_are_put_together(dtype: str) -> None:
    colour = COLOUR.astype(dtype) * (257 if dtype == "u2" else 1)
    planes = np.ascontiguousarray(np.moveaxis(colour, 2, 0))
    np.testing.assert_array_equal(read(tiff_file((planes, {PLANAR: 2, PHOTOMETRIC: 2}))), read_png(colour))
    grey_and_more = np.stack([GREY_8, ZEROS])
    np.testing.assert_array_equal(read(tiff_file((grey_and_more, {PLANAR: 2, EXTRA_SAMPLES: 0}))), GREY_8)


@pytest.mark.parametrize("kinds", [(), (0,), (1,)])
def test_samples_that_are_no_opacity_are_left_out(kinds: tuple[int, ...]) -> None:
    """Not said, unspecified, and alpha that the colours hold already."""
    tags = {EXTRA_SAMPLES: kinds} if kinds else {}
    np.testing.assert_array_equal(read(tiff_file((np.dstack([COLOUR, ZEROS]), tags))), read_png(COLOUR))
    np.testing.assert_array_equal(read(tiff_file((np.dstack([GREY_8, ZEROS]), tags))), GREY_8)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_opacity_that_is_not_applied_yet_shows_black(dtype: str) -> None:
    alpha = np.where(np.arange(120) < 60, 0, np.iinfo(dtype).max).astype(dtype) * np.ones((90, 1), dtype)
    picture = np.dstack([COLOUR.astype(dtype), alpha])
    np.testing.assert_array_equal(read(tiff_file((picture, {EXTRA_SAMPLES: 2}))), read_png(picture))
    found = read(
        tiff_file((np.dstack([GREY_8.astype(dtype), alpha * 0, alpha]), {PHOTOMETRIC: 1, EXTRA_SAMPLES: (0, 2)}))
    )
    np.testing.assert_array_equal(found, np.where(alpha > 0, GREY_8, 0))


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", "lzma"])
def test_compressed_pictures_are_the_same(compression: str) -> None:
    schemes = {
        "lzw": "tiff_lzw",
        "deflate": "tiff_adobe_deflate",
        "packbits": "packbits",
        "zstd": "zstd",
        "lzma": "lzma",
    }
    file = BytesIO()
    Image.fromarray(GREY_12).save(file, "tiff", compression=schemes[compression])
    np.testing.assert_array_equal(read(file.getvalue()), GREY_12)


def test_zstandard_is_the_same() -> None:
    strip = np.frombuffer(imagecodecs.zstd_encode(GREY_12.tobytes()), np.uint8)[None]
    tags = {256: GREY_12.shape[1], 257: GREY_12.shape[0], BITS: 16, COMPRESSION: 50000}
    data = tiff_file((strip, {**tags, 273: 8, 278: GREY_12.shape[0], 279: strip.size}))
    np.testing.assert_array_equal(read(data), GREY_12)


def test_lerc_is_the_same() -> None:
    try:
        data = bytes(imagecodecs.tiff_encode(GREY_12, compression=34887))
    except NotImplementedError:
        pytest.skip("this imagecodecs writes no TIFF")
    np.testing.assert_array_equal(read(data), GREY_12)


def test_the_picture_is_read_beside_its_thumbnail() -> None:
    thumbnail = (np.full((80, 80), 7, np.uint8), {SUBFILE: 1})
    turned = (np.ascontiguousarray(GREY_8[::-1, ::-1]), {ORIENTATION: 3})
    np.testing.assert_array_equal(read(tiff_file(thumbnail, turned)), GREY_8)


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        ({COMPRESSION: 34712}, "unsupported_picture", "compression 34712"),
        ({SAMPLE_FORMAT: 6}, "unsupported_picture", "sample format 6"),
        ({PHOTOMETRIC: 4}, "unsupported_picture", "a transparency mask"),
        ({PHOTOMETRIC: 32803}, "unsupported_picture", "a colour filter array"),
        ({PHOTOMETRIC: 77}, "unsupported_picture", "photometric 77"),
        ({BITS: (8, 16)}, "unsupported_picture", "different depths"),
        ({BITS: 24}, "unsupported_picture", "samples of 24 bits"),
        ({BITS: 12, COMPRESSION: 7}, "unsupported_picture", "JPEG of 12 bits"),
        ({PHOTOMETRIC: 5, BITS: 16}, "unsupported_picture", "photometric 5 in 16 bits"),
        ({PHOTOMETRIC: 3, BITS: 32}, "unsupported_picture", "a palette of 32 bits"),
        ({279: (0, 5400)}, "truncated", "leaves out a part"),
        ({DEPTH: 5}, "multi_frame", "several images"),
        ({256: 5000, 257: 5000, 277: 9, BITS: 64}, "too_large", "400 times as much"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(tags: dict[int, int], code: str, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(tiff_file((GREY_8, tags)))
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", ["jpeg", "tiff_adobe_deflate", "tiff_lzw", "packbits"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
def test_compressed_data_that_ends_in_zeros_is_refused(compression: str, kept: float) -> None:
    stream = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (300, 280)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "TIFF", compression=compression)
    whole = stream.getvalue()
    assert read(whole).shape == noise.shape
    start, end = max(read_tiff_directory(lambda position, count: whole[position : position + count]).spans)
    first = start + int(kept * (end - start))
    with pytest.raises(UnreadableImageError) as caught:
        read(whole[:first] + bytes(end - first) + whole[end:])
    assert caught.value.code in ("truncated", "damaged")


def test_what_imagecodecs_does_not_unpack_is_unpacked_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = imagecodecs.tiff_decode

    def as_on_python_3_10(data: bytes, index: int = 0, asrgb: bool = False) -> npt.NDArray[np.generic]:
        found = decode(data, index=index, asrgb=asrgb)
        if found.shape == GREY_12.shape:
            raise ValueError("sampleformat 1 and bitspersample 12 not supported")
        return found

    monkeypatch.setattr(imagecodecs, "tiff_decode", as_on_python_3_10)
    packed = pack(GREY_12, 12)
    tags = {BITS: 12, 256: GREY_12.shape[1]}
    np.testing.assert_array_equal(read(tiff_file((packed, tags))), GREY_12)
    with pytest.raises(UnreadableImageError) as caught:
        read(tiff_file((packed, {**tags, SAMPLE_FORMAT: 2})))
    assert caught.value.code == "unsupported_picture"
    assert "samples of 12 bits" in str(caught.value)
