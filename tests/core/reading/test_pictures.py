"""PNG, JPEG and TIFF images: size before pixels, one grey channel, upright."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tiff_files import tiff_file

from lungsev.errors import SkippedImageError, UnreadableImageError
from lungsev.reading.grayscale import Grayscale
from lungsev.reading.limits import ReadLimits
from lungsev.reading.pictures import decode_picture, mark_as_own_output, turn_upright
from lungsev.reading.radiograph import Stored, pixel_sha256

LIMITS = ReadLimits()
GREY = np.add.outer(np.arange(90, dtype=np.uint16), np.arange(120, dtype=np.uint16)).astype(np.uint8)


def read(data: bytes) -> tuple[Stored, tuple[str, ...]]:
    image = decode_picture(data, LIMITS)
    return image.values, image.notes


def encoded(image: npt.NDArray[np.generic], suffix: str) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lossless_grey_comes_back(suffix: str, dtype: type) -> None:
    stored = GREY.astype(dtype) * (1 if dtype is np.uint8 else 257)
    grey, notes = read(encoded(stored, suffix))
    np.testing.assert_array_equal(grey, stored)
    assert notes == ("side_not_verified",)


def test_a_jpeg_comes_back_nearly() -> None:
    grey, _ = read(encoded(GREY, ".jpg"))
    np.testing.assert_allclose(grey.astype(int), GREY, atol=4)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_grey_radiograph_saved_in_colour_is_grey(channels: int, dtype: type) -> None:
    scale = 1 if dtype is np.uint8 else 257
    layers = [GREY.astype(dtype) * scale] * 3 + [np.full(GREY.shape, np.iinfo(dtype).max, dtype)] * (channels - 3)
    grey, notes = read(encoded(np.dstack(layers), ".png"))
    np.testing.assert_allclose(grey.astype(int), GREY.astype(int) * scale, atol=scale)
    assert notes == ("side_not_verified",)


def test_transparent_pixels_are_black() -> None:
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:, :60] = 0
    grey, _ = read(encoded(np.dstack([GREY, GREY, GREY, alpha]), ".png"))
    assert grey[:, :60].max() == 0
    np.testing.assert_array_equal(grey[:, 60:], GREY[:, 60:])


def test_a_palette_is_resolved() -> None:
    grey, _ = read(_palette_png(GREY))
    np.testing.assert_array_equal(grey, 255 - GREY)


def test_a_coloured_picture_is_noted() -> None:
    coloured = np.dstack([GREY, 255 - GREY, np.zeros_like(GREY)])
    assert "colour_converted" in read(encoded(coloured, ".png"))[1]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_with_white_as_zero_is_inverted(order: str) -> None:
    grey, _ = read(_tiff(GREY, order, white_is_zero=True))
    np.testing.assert_array_equal(grey, 255 - GREY)
    grey, _ = read(_tiff(GREY, order, white_is_zero=False))
    np.testing.assert_array_equal(grey, GREY)


def test_a_tiff_of_several_pages_is_skipped() -> None:
    with pytest.raises(SkippedImageError) as caught:
        read(tiff_file((GREY, {}), (GREY, {})))
    assert caught.value.code == "multi_frame"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_an_image_saved_on_its_side_is_turned_upright(kind: str, orientation: int) -> None:
    turned = _turned(GREY, orientation)
    if kind == "tiff":
        data = _tiff(turned, "<", orientation=orientation)
    else:
        data = _with_exif(encoded(turned, f".{kind}"), kind, orientation)
    grey, notes = read(data)
    np.testing.assert_allclose(grey.astype(int), GREY, atol=4)
    assert ("exif_orientation_applied" in notes) == (orientation != 1)


def test_an_exif_block_behind_the_pixels_counts_too() -> None:
    png = encoded(_turned(GREY, 6), ".png")
    grey, notes = read(png[:-12] + _png_chunk(b"eXIf", _exif(6)) + png[-12:])
    np.testing.assert_array_equal(grey, GREY)
    assert "exif_orientation_applied" in notes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation: int) -> None:
    np.testing.assert_array_equal(turn_upright(_turned(GREY, orientation), orientation), GREY)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.98])
def test_a_picture_cut_short_is_refused(suffix: str, kept: float) -> None:
    whole = encoded(np.random.default_rng(0).integers(0, 255, (100, 100)).astype(np.uint8), suffix)
    with pytest.raises(UnreadableImageError) as caught:
        read(whole[: int(len(whole) * kept)])
    assert caught.value.code in ("truncated", "damaged")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"\xff\xd8\xff\xe0\0"]
)
def test_a_beginning_alone_is_truncated(data: bytes) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        read(data)
    assert caught.value.code in ("truncated", "damaged")


@pytest.mark.parametrize("data", [b"hello", b"", b"GIF89a", b"\x00" * 200])
def test_other_files_are_named_as_such(data: bytes) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        read(data)
    assert caught.value.code == "not_dicom"


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_a_bomb_is_known_by_its_header(kind: str) -> None:
    data = {
        "png": _resized_png(encoded(GREY, ".png"), 60_000, 60_000),
        "jpeg": _resized_jpeg(encoded(GREY, ".jpg"), 60_000, 60_000),
        "tiff": _tiff(GREY, "<", claims=(60_000, 60_000)),
    }[kind]
    with pytest.raises(UnreadableImageError) as caught:
        read(data)
    assert caught.value.code == "too_large"
    assert "60000" in str(caught.value)


def test_a_size_of_nothing_is_a_wrong_shape() -> None:
    with pytest.raises(UnreadableImageError) as caught:
        read(_resized_png(encoded(GREY, ".png"), 0, 100))
    assert caught.value.code == "wrong_shape"


def test_the_report_names_the_decoder_and_hashes_the_upright_values() -> None:
    image = decode_picture(_tiff(_turned(GREY, 6), "<", orientation=6), LIMITS)
    assert (image.info.decoder, pixel_sha256(image.hashed)) == ("imagecodecs/libtiff", pixel_sha256(GREY))
    assert image.grayscale == Grayscale(display_ready=True)
    wide = decode_picture(encoded(GREY.astype(np.uint16) * 257, ".png"), LIMITS)
    assert wide.grayscale == Grayscale(display_ready=False)


def test_a_codestream_that_is_no_picture_format_is_named_as_such() -> None:
    import imagecodecs

    with pytest.raises(UnreadableImageError) as caught:
        read(bytes(imagecodecs.jpeg2k_encode(GREY, codecformat="j2k")))
    assert caught.value.code == "not_dicom"


def test_an_icon_is_skipped() -> None:
    with pytest.raises(SkippedImageError) as caught:
        read(encoded(GREY[:32, :32], ".png"))
    assert caught.value.code == "too_small"


def test_floating_point_tiffs_are_read_over_their_range() -> None:
    values = np.linspace(-1, 3, 100 * 100, dtype=np.float32).reshape(100, 100)
    grey, _ = read(encoded(values, ".tiff"))
    assert (grey.min(), grey.max()) == (0, 65535)
    np.testing.assert_allclose(grey / 65535 * 4 - 1, values, atol=1e-3)


def _turned(grey: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Stored so that the EXIF orientation brings the image back: TIFF 6.0, tag 274."""
    rows_first = {
        1: grey,
        2: grey[:, ::-1],
        3: grey[::-1, ::-1],
        4: grey[::-1],
        5: grey.T,
        6: np.rot90(grey, 1),
        7: grey[::-1, ::-1].T,
        8: np.rot90(grey, -1),
    }
    return np.ascontiguousarray(rows_first[orientation])


def _exif(orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


def _with_exif(data: bytes, kind: str, orientation: int) -> bytes:
    block = _exif(orientation)
    if kind == "jpeg":
        segment = b"Exif\0\0" + block
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    return data[:33] + _png_chunk(b"eXIf", block) + data[33:]


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _resized_png(data: bytes, rows: int, columns: int) -> bytes:
    body = struct.pack(">II", columns, rows) + data[24:29]
    return data[:8] + _png_chunk(b"IHDR", body) + data[33:]


def _resized_jpeg(data: bytes, rows: int, columns: int) -> bytes:
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", rows, columns) + data[place + 4 :]


def _palette_png(indices: npt.NDArray[np.uint8]) -> bytes:
    """Indices into a palette that runs from white to black."""
    rows, columns = indices.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    palette = bytes(value for index in range(256) for value in (255 - index,) * 3)
    lines = b"".join(b"\0" + line.tobytes() for line in indices)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks)


def _tiff(
    grey: npt.NDArray[np.uint8],
    order: str,
    *,
    white_is_zero: bool = False,
    orientation: int = 1,
    claims: tuple[int, int] | None = None,
) -> bytes:
    """One uncompressed strip."""
    rows, columns = claims or grey.shape
    tags = [(256, columns), (257, rows), (258, 8), (259, 1), (262, 0 if white_is_zero else 1)]
    tags += [(273, 8), (274, orientation), (277, 1), (278, rows), (279, grey.size)]
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8 + grey.size) + grey.tobytes() + directory


def test_an_own_output_opens_everywhere_and_is_not_scored() -> None:
    grey = np.random.default_rng(1).integers(0, 255, (96, 80), np.uint8)
    ours = mark_as_own_output(cv2.imencode(".png", grey)[1].tobytes())
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(ours, np.uint8), cv2.IMREAD_UNCHANGED), grey)
    with pytest.raises(SkippedImageError) as caught:
        read(ours)
    assert caught.value.code == "own_output"


@pytest.mark.parametrize("kind", [".png", ".tiff", ".jpg"])
def test_colours_count_towards_what_a_picture_decodes_to(kind: str) -> None:
    picture = np.zeros((100, 100, 3), np.uint8 if kind == ".jpg" else np.uint16)
    data = cv2.imencode(kind, picture)[1].tobytes()
    size = picture.nbytes
    decode_picture(data, ReadLimits(decoded_bytes=size))
    with pytest.raises(UnreadableImageError) as caught:
        decode_picture(data, ReadLimits(decoded_bytes=size - 1))
    assert caught.value.code == "too_large"
    assert f"decodes to {size} bytes, the limit is {size - 1}" in str(caught.value)
