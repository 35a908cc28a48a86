"""A JPEG whose data ends too early is refused, whatever its kind; a flat one that is whole is not."""

from __future__ import annotations

from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from lungsev.errors import UnreadableImageError
from lungsev.reading.codestream import read_codestream_header
from lungsev.reading.formats.jpeg import decode_jpeg, has_jpeg_end, require_jpeg_end

NOISE = np.random.default_rng(3)
GREY = cv2.GaussianBlur((NOISE.random((480, 400)) * 4095).astype(np.uint16), (0, 0), 1.5)
COLOUR = np.dstack([(GREY >> 4).astype(np.uint8), (GREY >> 5).astype(np.uint8), (GREY >> 6).astype(np.uint8)])


def opencv(image: np.ndarray, *settings: int) -> bytes:
    return cv2.imencode(".jpg", image, settings)[1].tobytes()


def encode(kind: str, grey: np.ndarray = GREY) -> bytes:
    small = (grey >> 4).astype(np.uint8)
    if kind in ("baseline", "progressive"):
        return opencv(small, cv2.IMWRITE_JPEG_PROGRESSIVE, int(kind == "progressive"))
    if kind == "colour":
        return opencv(COLOUR)
    if kind == "extended":
        return bytes(imagecodecs.jpeg8_encode(grey, 95, bitspersample=12))
    bits = 8 if kind == "lossless 8" else 12
    predictor = 4 if kind == "lossless 12, predictor 4" else 1
    values = small if bits == 8 else grey
    return bytes(imagecodecs.jpeg8_encode(values, lossless=True, predictor=predictor, bitspersample=bits))


KINDS = (
    *("baseline", "progressive", "colour", "extended"),
    *("lossless 8", "lossless 12", "lossless 12, predictor 4"),
)


def cut(data: bytes, kept: float, end: bytes = b"\xff\xd9") -> bytes:
    start = data.index(b"\xff\xda")
    return data[: start + 20 + int(kept * (len(data) - start - 20))].rstrip(b"\xff") + end


def decoded(data: bytes) -> np.ndarray | None:
    return decode_jpeg(data, read_codestream_header(data))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_data_is_decoded_as_other_libraries_do(kind: str) -> None:
    data = encode(kind)
    values = decoded(data)
    assert values is not None
    np.testing.assert_array_equal(
        values,
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
        if kind == "colour"
        else imagecodecs.jpeg8_decode(data),
    )


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_data_cut_short_is_refused_with_an_end_and_without(kind: str, kept: float) -> None:
    for end in (b"", b"\xff\xd9", b"\0\0\xff\xd9"):
        with pytest.raises(UnreadableImageError) as caught:
            decoded(cut(encode(kind), kept, end))
        assert caught.value.code == "truncated"


@pytest.mark.parametrize("kind", KINDS)
def test_a_lower_part_of_middle_grey_that_is_in_the_data_is_no_missing_part(kind: str) -> None:
    grey = GREY.copy()
    grey[300:] = 2048
    assert decoded(encode(kind, grey)) is not None


def test_a_colour_space_of_four_components_is_left_to_others() -> None:
    data = bytes(imagecodecs.jpeg8_encode(np.dstack([COLOUR, COLOUR[..., 0]]), colorspace="CMYK", outcolorspace="CMYK"))
    assert decoded(data) is None


def test_the_end_is_looked_for_behind_the_header() -> None:
    data = encode("baseline")
    thumbnail = opencv(COLOUR[:40, :40])
    header = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = data[:2] + header + data[2:]
    for whole in (data, with_thumbnail, data + b"padding", data + bytes(200_000)):
        require_jpeg_end(whole)
        end = whole.rindex(b"\xff\xd9")
        for broken in (whole[:end], whole[: end + 1], b"\xff\xd8\xff\xd9", whole[:30]):
            assert not has_jpeg_end(
                lambda position, count, broken=broken: broken[position : position + count], len(broken)
            )
            with pytest.raises(UnreadableImageError) as caught:
                require_jpeg_end(broken)
            assert caught.value.code == "truncated"


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_data_that_a_copy_left_as_zeros_is_no_picture_in_silence(kind: str, kept: float) -> None:
    part = cut(encode(kind), kept, b"")
    with pytest.raises(UnreadableImageError) as caught:
        decoded(part + bytes(len(encode(kind)) - len(part)) + b"\xff\xd9")
    assert caught.value.code == "truncated"


def test_four_colours_are_left_to_another_decoder_unless_they_are_cut() -> None:
    stream = BytesIO()
    Image.merge("CMYK", [Image.fromarray((GREY >> 4).astype(np.uint8))] * 4).save(stream, "JPEG")
    assert decoded(stream.getvalue()) is None
    with pytest.raises(UnreadableImageError):
        decoded(cut(stream.getvalue(), 0.99))
