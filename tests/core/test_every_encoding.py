"""One image gives one report in every lossless encoding, by several encoders, and in both photometric interpretations.

DCMTK and pydicom's plugins write what lungsev itself does not.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from odd_images import encoded_image
from pydicom import uid

from lungsev.bundle.archive import Bundle
from lungsev.model import Model, load
from lungsev.phantom import make_phantom
from lungsev.reading.encoding import ENCODERS, JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR

PLAIN = uid.ExplicitVRLittleEndian
LOSSLESS = sorted(set(ENCODERS) - {JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR, JPEG_2000})
DCMTK = {
    "implicit": ["dcmconv", "+ti"],
    "big endian": ["dcmconv", "+tb"],
    "deflated": ["dcmconv", "+td"],
    "rle": ["dcmcrle"],
    **{f"jpeg lossless {predictor}": ["dcmcjpeg", "+el", "+sv", str(predictor)] for predictor in range(1, 8)},
    "jpeg lossless sv1": ["dcmcjpeg", "+e1"],
    "jpeg-ls": ["dcmcjpls", "+el"],
    "jpeg-ls, whole words": ["dcmcjpls", "+el", "+pr"],
}
# Bits stored, signed, photometric: as units write them.
KINDS = [
    (8, False, "MONOCHROME2"),
    (10, False, "MONOCHROME1"),
    (12, False, "MONOCHROME2"),
    (15, False, "MONOCHROME1"),
    (16, False, "MONOCHROME2"),
    (16, True, "MONOCHROME2"),
]

Stored = npt.NDArray[np.integer]
Report = dict[str, Any]


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Iterator[Model]:
    with load(tiny_bundle.path, sandbox=False) as opened:
        yield opened


def as_stored(pixels: npt.NDArray[np.float32], bits: int, signed: bool, photometric: str) -> Stored:
    """An image of 0-1 over the whole range of the bits."""
    shown = 1 - pixels if photometric == "MONOCHROME1" else pixels
    values = np.rint(shown.astype(np.float64) * ((1 << bits) - 1)).astype(np.int64) - (1 << (bits - 1)) * signed
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def small_radiograph() -> npt.NDArray[np.float32]:
    return make_phantom(11, size_px=(341, 299)).pixels


def write(folder: Path, stored: Stored, bits: int, syntax: str = PLAIN, **tags: Any) -> Path:
    path = folder / "image.dcm"
    path.write_bytes(encoded_image(stored, syntax, bits=bits, **tags))
    return path


def report_of(model: Model, path: Path) -> Report:
    """All of the report but what names the carrier, and how long it took."""
    report = model.score(path).to_dict()
    assert report["status"] == "scored", report["message"]
    assert report["image"].pop("decoder")
    for key in ("sha256", "transfer_syntax"):
        report["image"].pop(key)
    report.pop("timing_ms")
    return report


def carriers(plain: Path, folder: Path) -> Iterator[Path]:
    """The same file through every encoder of DCMTK and of pydicom's plugins."""
    for number, (name, command) in enumerate(DCMTK.items()):
        target = folder / f"{number}.dcm"
        done = subprocess.run([*command, plain, target], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        yield target
    for syntax in (uid.RLELossless, uid.JPEGLSLossless):
        dataset = pydicom.dcmread(plain)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(target := folder / f"{syntax}.dcm")
        yield target


@pytest.mark.parametrize(("bits", "signed", "photometric"), KINDS)
def test_every_own_encoder_gives_the_same_report(
    model: Model, tmp_path: Path, bits: int, signed: bool, photometric: str
) -> None:
    stored = as_stored(small_radiograph(), bits, signed, photometric)
    tags = {"PhotometricInterpretation": photometric}
    expected = report_of(model, write(tmp_path, stored, bits, **tags))
    words = stored.view(f"u{stored.dtype.itemsize}")
    for syntax in LOSSLESS:
        encoded = write(tmp_path, words, bits, syntax, PixelRepresentation=int(signed), **tags)
        assert report_of(model, encoded) == expected, syntax


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_both_photometric_interpretations_give_the_same_report(
    model: Model, tmp_path: Path, bits: int, signed: bool
) -> None:
    reports = []
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        stored = as_stored(small_radiograph(), bits, signed, "MONOCHROME2")
        if photometric == "MONOCHROME1":
            stored = np.invert(stored) if signed else ((1 << bits) - 1 - stored).astype(stored.dtype)
        reports.append(report_of(model, write(tmp_path, stored, bits, PhotometricInterpretation=photometric)))
    assert reports[0] == reports[1]


@pytest.mark.parametrize("around", [0, 900, 4095])
@pytest.mark.parametrize("is_told", [False, True])
def test_a_border_around_the_radiograph_changes_no_score(
    model: Model, tmp_path: Path, around: int, is_told: bool
) -> None:
    stored = as_stored(small_radiograph(), 12, False, "MONOCHROME2")
    framed = np.pad(stored, ((40, 23), (17, 61)), constant_values=around)
    tags = {"WindowCenter": 2048, "WindowWidth": 4096}
    alone = report_of(model, write(tmp_path, stored, 12, **tags))
    padding = {"PixelPaddingValue": around} if is_told else {}
    within = report_of(model, write(tmp_path, framed, 12, **tags, **padding))
    assert within["alignment"] == alone["alignment"]
    for one, other in zip(alone["scores"]["brixia"]["regions"], within["scores"]["brixia"]["regions"], strict=True):
        assert other["expected"] == one["expected"]
        np.testing.assert_allclose(other["polygon"], np.add(one["polygon"], (17, 40)), atol=0.02)


@pytest.mark.skipif(shutil.which("dcmcjpls") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(("bits", "signed", "photometric"), KINDS)
def test_every_other_encoder_gives_the_same_report(
    model: Model, tmp_path: Path, bits: int, signed: bool, photometric: str
) -> None:
    stored = as_stored(small_radiograph(), bits, signed, photometric)
    plain = write(tmp_path, stored, bits, PhotometricInterpretation=photometric, PixelRepresentation=int(signed))
    expected = report_of(model, plain)
    for path in carriers(plain, tmp_path):
        assert report_of(model, path) == expected, path.name


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(shutil.which("dcmcjpls") is None, reason="DCMTK is not installed")
def test_real_radiographs_on_the_packaged_model(shared_dir: Path, tmp_path: Path) -> None:
    sources = sorted((shared_dir / "cxr" / "lung-masks" / "images").iterdir())[::40]
    with load(backend="onnxruntime", threads=1, sandbox=False) as packaged:
        for source, (bits, signed, photometric) in zip(sources, KINDS * 2, strict=False):
            grey = np.asarray(cv2.imread(str(source), cv2.IMREAD_GRAYSCALE), dtype=np.float32) / 255
            stored = as_stored(grey, bits, signed, photometric)
            plain = write(tmp_path, stored, bits, PhotometricInterpretation=photometric)
            expected = report_of(packaged, plain)
            for path in carriers(plain, tmp_path):
                assert report_of(packaged, path) == expected, path.name
