"""An image carries remarks, each once."""

from __future__ import annotations

import numpy as np

from lungsev.reading.radiograph import Radiograph
from lungsev.report import ImageInfo


def test_remarks_are_added_once_and_in_order() -> None:
    radiograph = Radiograph(np.zeros((4, 4), np.float32), ImageInfo(), (0, 0, 4, 4), ("side_not_verified",))
    noted = radiograph.with_notes("window_ignored", "side_not_verified")
    assert noted.notes == ("side_not_verified", "window_ignored")
    assert radiograph.notes == ("side_not_verified",)
    assert noted.pixels is radiograph.pixels
