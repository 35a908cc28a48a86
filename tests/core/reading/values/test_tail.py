"""An image that ends in the middle of a line is cut; one that a shutter covers is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from odd_images import encoded_image
from pydicom import uid

from lungsev.reading.read import read_radiograph_bytes
from lungsev.reading.values.tail import ends_inside_a_line

IMAGE = np.random.default_rng(2).integers(100, 4000, (120, 100)).astype(np.uint16)


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.8, 0.9, 0.97])
@pytest.mark.parametrize("fill", [0, 4095])
def test_memory_that_a_copy_did_not_reach_is_found(kept: float, fill: int) -> None:
    cut = IMAGE.copy()
    cut.reshape(-1)[int(kept * cut.size) + 37 :] = fill
    assert ends_inside_a_line(cut)
    notes = read_radiograph_bytes(encoded_image(cut, uid.ExplicitVRLittleEndian, bits=12)).notes
    assert "part_missing" in notes


def test_a_whole_image_and_a_border_are_no_cut() -> None:
    for lines, columns in ((0, 0), (1, 0), (40, 0), (40, 30), (0, 30), (119, 0)):
        bordered = IMAGE.copy()
        bordered[120 - lines :] = 0
        bordered[:, 100 - columns :] = 0
        assert not ends_inside_a_line(bordered)
    assert not ends_inside_a_line(np.zeros((20, 20), np.uint16))


@pytest.mark.parametrize("degrees", [-20.0, -5.0, -1.0, 0.4, 1.0, 5.0, 20.0])
def test_the_edge_of_a_leaning_shutter_is_no_cut(degrees: float) -> None:
    image = np.random.default_rng(2).integers(100, 4000, (600, 500)).astype(np.uint16)
    corners = cv2.boxPoints(((250, 250), (420, 400), degrees)).astype(np.int32)
    field = cv2.fillConvexPoly(np.zeros(image.shape, np.uint8), corners, 1)
    assert not ends_inside_a_line(np.where(field == 1, image, 0).astype(np.uint16))
