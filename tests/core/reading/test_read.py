"""One door for every image: the same image looks the same whatever file it came in, the rest is refused in one line."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from odd_images import encoded_image, image_bytes, phantom, setting
from pydicom import uid

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.phantom import make_phantom, write_phantom_jpeg, write_phantom_png
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.encoding import (
    ENCODERS,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LS_NEAR,
)
from lungsev.reading.limits import ReadLimits
from lungsev.reading.read import radiograph_from_array, read_file, read_radiograph, read_radiograph_bytes

EXPLICIT = str(uid.ExplicitVRLittleEndian)
LOSSLESS = [EXPLICIT, *sorted(set(ENCODERS) - {JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR, JPEG_2000})]
TOP = 4095


def stored_radiograph() -> np.ndarray:
    return np.rint(phantom().pixels * TOP).astype(np.uint16)


def refusal(path: Path, limits: ReadLimits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_radiograph(path, limits)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_encoding_and_both_polarities_give_the_same_canvas_to_the_bit(
    syntax: str, photometric: str
) -> None:
    stored, tags = stored_radiograph(), {"WindowCenter": "1900", "WindowWidth": "3800", "PresentationLUTShape": None}
    reference = to_canvas(read_radiograph_bytes(encoded_image(stored, EXPLICIT, bits=12, **tags)))
    if photometric == "MONOCHROME1":
        stored = (TOP - stored).astype(np.uint16)
        tags["WindowCenter"] = str(TOP - 1900 + 1)  # LINEAR is centred half a unit below its centre
    data = encoded_image(stored, syntax, bits=12, PhotometricInterpretation=photometric, **tags)
    canvas = to_canvas(read_radiograph_bytes(data))
    np.testing.assert_array_equal(canvas.pixels, reference.pixels)
    assert canvas.frame == reference.frame


def test_dicom_and_png_give_nearly_the_same_canvas(tmp_path: Path) -> None:
    picture = read_radiograph(write_phantom_png(phantom(), tmp_path / "image.png", bits=16))
    dicom = read_radiograph_bytes(image_bytes(bits=16))
    assert np.abs(to_canvas(picture).pixels - to_canvas(dicom).pixels).mean() < 0.005


@pytest.mark.parametrize(
    "style",
    [{"voi": "lut"}, {"voi": "exact"}, {"voi": "two_windows"}, {"voi": "none"}, {"bits": 10}, {"padding": True}],
)
def test_every_way_to_describe_the_greys_gives_nearly_the_same_canvas(style: dict[str, object]) -> None:
    inner = np.s_[16:-16, 12:-12]
    plain, other = (to_canvas(read_radiograph_bytes(data)) for data in (image_bytes(), image_bytes(**style)))
    difference = plain.frame.mask_to_image(plain.pixels) - other.frame.mask_to_image(other.pixels)
    assert np.abs(difference[inner]).mean() < 0.02


def test_the_radiograph_comes_out_bone_bright_and_in_its_own_size() -> None:
    radiograph = read_radiograph_bytes(image_bytes(photometric="MONOCHROME1"))
    assert radiograph.pixels.shape == phantom().pixels.shape
    assert radiograph.pixels.dtype == np.float32
    assert (radiograph.image.rows, radiograph.image.columns) == radiograph.pixels.shape
    np.testing.assert_allclose(radiograph.pixels, phantom().pixels, atol=5e-3)


def test_a_mirrored_radiograph_is_turned_back_when_its_tag_says_so() -> None:
    plain = read_radiograph_bytes(image_bytes())
    mirrored = read_radiograph_bytes(image_bytes(orientation=("R", "F")))
    np.testing.assert_array_equal(mirrored.pixels, plain.pixels)
    assert "orientation_corrected" in mirrored.notes
    assert "side_not_verified" in read_radiograph_bytes(image_bytes(orientation=None)).notes


def test_a_wrong_lut_shape_is_overruled_by_the_image() -> None:
    plain = read_radiograph_bytes(image_bytes())
    wrong = read_radiograph_bytes(image_bytes(wrong_lut_shape=True))
    np.testing.assert_allclose(wrong.pixels, plain.pixels, atol=1e-6)


def test_a_picture_says_nothing_of_its_side(tmp_path: Path) -> None:
    radiograph = read_radiograph(write_phantom_jpeg(phantom(), tmp_path / "image.JPG"))
    assert radiograph.notes == ("side_not_verified",)
    assert radiograph.image.decoder == "opencv/jpeg"
    assert radiograph.image.pixel_sha256
    assert radiograph.image.sha256


@pytest.mark.parametrize("name", ["image", "an image.JPG", "image.dcm.tmp.txt", "фильм.dcm", "-rf", "new\nline.png"])
def test_names_mean_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(image_bytes())
    assert read_radiograph(path).image.modality == "CR"


def test_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/image-\xff\xfe.dcm"
    with open(raw, "wb") as file:
        file.write(image_bytes())
    assert read_radiograph(Path(os.fsdecode(raw))).image.modality == "CR"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert refusal(tmp_path / "socket").code == "not_a_file"
    assert refusal(tmp_path / "fifo").code == "not_a_file"
    assert refusal(tmp_path).code == "not_a_file"
    assert refusal(Path("/dev/zero")).code == "not_a_file"
    assert refusal(tmp_path / "loop").code == "unreadable"
    assert refusal(tmp_path / "broken").code == "not_found"
    assert refusal(tmp_path / "image.dcm" / "below").code == "not_found"


def test_a_link_to_a_radiograph_is_a_radiograph(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(image_bytes())
    (tmp_path / "link").symlink_to(tmp_path / "image")
    assert read_radiograph(tmp_path / "link").image.modality == "CR"


@pytest.mark.parametrize(
    ("code", "content"),
    [("empty", b""), ("not_dicom", b"hello\n"), ("not_dicom", b"\0" * 4000), ("truncated", b"\0" * 128 + b"DICM")],
)
def test_what_is_no_radiograph_is_refused_by_its_code(tmp_path: Path, code: str, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    error = refusal(path)
    assert isinstance(error, UnreadableImageError)
    assert error.code == code


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    assert refusal(path).code == "too_large"


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"x" * 100)
    before = os.stat(path)
    monkeypatch.setattr(os, "fstat", lambda _: before)
    path.write_bytes(b"x" * 1000)
    with pytest.raises(UnreadableImageError) as caught:
        read_file(path, ReadLimits(file_bytes=500))
    assert caught.value.code == "too_large"


def test_a_refused_radiograph_is_known_by_its_hash() -> None:
    data = image_bytes(body_part="HAND")
    with pytest.raises(SkippedImageError) as caught:
        read_radiograph_bytes(data)
    assert caught.value.image is not None
    assert caught.value.image.sha256 == hashlib.sha256(data).hexdigest()
    assert caught.value.image.sop_instance_uid
    with pytest.raises(UnreadableImageError) as broken:
        read_radiograph_bytes(b"no image at all")
    assert broken.value.image is not None
    assert broken.value.image.sha256


def test_a_constant_radiograph_says_so() -> None:
    data = encoded_image(np.full((100, 100), 700, np.uint16), EXPLICIT, bits=12)
    assert "constant" in read_radiograph_bytes(data).notes


def test_a_window_that_hides_the_radiograph_says_so() -> None:
    radiograph = read_radiograph_bytes(image_bytes(setting(WindowCenter="60000", WindowWidth="10")))
    assert "window_ignored" in radiograph.notes
    assert radiograph.pixels.std() > 0.1


@pytest.mark.shared
def test_real_dicom_radiographs_are_read_or_refused_as_they_should(shared_dir: Path) -> None:
    chests = {
        "pylibjpeg_966_fixed.dcm",
        "pylibjpeg_JPEG2KLossless_1s_1f_u_16_16.dcm",
        "rsna_1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm",
        "rsna_Fake_MONOHR1.dcm",
        "wg04_RG1_J2KI",
        "wg04_RG1_JLSN",
    }
    for path in sorted((shared_dir / "dicom").iterdir()):
        if path.name in chests:
            assert read_radiograph(path).pixels.std() > 0.05
        else:
            assert refusal(path).code in ("other_body_part", "derived", "damaged", "not_dicom")


@pytest.mark.shared
def test_the_same_real_radiograph_from_two_lossy_codecs_is_nearly_the_same(shared_dir: Path) -> None:
    radiographs = [read_radiograph(shared_dir / "dicom" / f"wg04_RG1_{codec}") for codec in ("J2KI", "JLSN")]
    first, second = (to_canvas(radiograph) for radiograph in radiographs)
    assert np.abs(first.pixels - second.pixels).mean() < 0.01
    assert replace(radiographs[0].image, sha256=None).modality == "CR"


@pytest.mark.shared
def test_the_odd_pictures_of_the_public_subset_are_read(shared_dir: Path) -> None:
    folder = shared_dir / "cxr" / "brixia-cohen" / "public-cohen-subset"
    odd = [path for path in sorted(folder.iterdir()) if " " in path.name or path.suffix == ".JPG"]
    odd += sorted(folder.glob("*.png"))[:4]
    assert odd
    for path in odd:
        radiograph = read_radiograph(path)
        assert radiograph.pixels.shape == cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).shape
        assert radiograph.pixels.std() > 0.05


def test_an_array_is_read_as_the_picture_file_of_the_same_pixels(tmp_path: Path) -> None:
    pixels = make_phantom(2, size_px=256).pixels
    for stored in (np.round(pixels * 255).astype(np.uint8), np.round(pixels * 65535).astype(np.uint16)):
        cv2.imwrite(str(tmp_path / "image.png"), stored)
        from_file, from_array = read_radiograph(tmp_path / "image.png"), radiograph_from_array(stored)
        np.testing.assert_allclose(from_array.pixels, from_file.pixels, atol=2e-4)
        assert from_array.content_box_px == from_file.content_box_px
        assert from_array.notes == from_file.notes


@pytest.mark.parametrize("dtype", ["int16", "int64", "float32", "float64"])
def test_numbers_of_any_type_and_scale_are_shown_over_their_robust_range(dtype: str) -> None:
    pixels = make_phantom(2, size_px=256).pixels
    expected = radiograph_from_array(np.round(pixels * 65535).astype(np.uint16)).pixels
    shifted = (pixels.astype(np.float64) * 3000 - 1000).astype(dtype)
    np.testing.assert_allclose(radiograph_from_array(shifted).pixels, expected, atol=2e-3)


def test_what_is_not_finite_is_the_darkest() -> None:
    pixels = make_phantom(2, size_px=256).pixels.astype(np.float64)
    pixels[:3, :3] = [np.nan, np.inf, -np.inf]
    shown = radiograph_from_array(pixels).pixels
    assert np.isfinite(shown).all()
    assert np.isfinite(radiograph_from_array(np.full((64, 64), np.nan)).pixels).all()


@pytest.mark.parametrize(
    "values", [np.zeros((3, 64, 64)), np.zeros(64), np.zeros((64, 64), complex), np.zeros((64, 64), bool)]
)
def test_an_array_of_another_form_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected real numbers \[rows, columns\]"):
        radiograph_from_array(values)


def test_an_array_too_small_is_skipped_and_too_large_refused() -> None:
    with pytest.raises(SkippedImageError):
        radiograph_from_array(np.zeros((4, 4)))
    with pytest.raises(UnreadableImageError, match="the limit is"):
        radiograph_from_array(np.zeros((100, 100)), ReadLimits(pixels=50))
