"""An image carries remarks, each once; the hash of its values is the same for every way to store them."""

from __future__ import annotations

import numpy as np

from lungsev.reading.radiograph import Radiograph, pixel_sha256
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo


def test_remarks_are_added_once_and_in_order() -> None:
    radiograph = Radiograph(Brightness(np.zeros((4, 4), np.float32)), ImageInfo(), (0, 0, 4, 4), ("side_not_verified",))
    noted = radiograph.with_notes("window_ignored", "side_not_verified")
    assert noted.notes == ("side_not_verified", "window_ignored")
    assert radiograph.notes == ("side_not_verified",)
    assert noted.pixels is radiograph.pixels


def test_the_hash_of_values_depends_on_values_and_shape_alone() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(4, 6)
    expected = pixel_sha256(values)
    assert expected == pixel_sha256(values.astype("<u2")) == pixel_sha256(values.astype(">u2"))
    assert expected == pixel_sha256(np.asfortranarray(values))
    assert expected != pixel_sha256(values.reshape(6, 4))
    assert pixel_sha256(values.astype(np.int8) - 5) == pixel_sha256(values.astype(np.int16) - 5) != expected
