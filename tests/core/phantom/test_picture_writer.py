"""Phantom pictures hold the image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.phantom import PhantomRadiograph, make_phantom, write_phantom_jpeg, write_phantom_png
from lungsev.phantom.picture_writer import write_picture


@pytest.fixture(scope="module")
def radiograph() -> PhantomRadiograph:
    return make_phantom(4, size_px=(120, 96))


def test_pictures_hold_the_radiograph(radiograph: PhantomRadiograph, tmp_path: Path) -> None:
    png = cv2.imread(str(write_phantom_png(radiograph, tmp_path / "image.png", bits=16)), cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16
    np.testing.assert_allclose(png / 65535.0, radiograph.pixels, atol=1e-4)
    jpeg = cv2.imread(str(write_phantom_jpeg(radiograph, tmp_path / "image.jpg")), cv2.IMREAD_UNCHANGED)
    assert np.abs(jpeg / 255.0 - radiograph.pixels).mean() < 0.02


def test_a_suffix_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no encoder for '\.dcm'"):
        write_picture(tmp_path / "image.dcm", np.zeros((4, 4), np.uint8))
    assert not list(tmp_path.iterdir())
