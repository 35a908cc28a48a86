"""What a result quotes of its image."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from lungsev.runtime.outputs.source_header import to_stored_points


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(["L", "F"], (10, 20)), (["R", "F"], (90, 20)), (["L", "H"], (10, 180)), (["R", "H"], (90, 180)),
     ([], (10, 20)), (["A", "F"], (10, 20))],
)  # fmt: skip
def test_points_go_back_to_the_stored_matrix(orientation: list[str], stored: tuple[int, int]) -> None:
    header = Dataset()
    header.Rows, header.Columns, header.PatientOrientation = 200, 100, orientation
    np.testing.assert_array_equal(to_stored_points([(10, 20)], header), [stored])
    np.testing.assert_array_equal(to_stored_points([(-10, 900)], header).clip(0, [100, 200]),
                                  to_stored_points([(-10, 900)], header))  # fmt: skip


@pytest.mark.parametrize(
    "orientation", [["L", "F"], ["R", "F"], ["L", "H"], ["R", "H"], ["F", "L"], ["H", "R"], ["F", "R"]]
)
def test_the_way_back_undoes_the_reading(orientation: list[str]) -> None:
    from lungsev.reading.orientation import turn_to_radiological

    stored = np.zeros((40, 30), np.uint16)
    stored[7, 21] = 1
    upright, _ = turn_to_radiological(stored, tuple(orientation))
    (row,), (column,) = np.nonzero(upright)
    header = Dataset()
    header.Rows, header.Columns, header.PatientOrientation = 40, 30, orientation
    np.testing.assert_array_equal(to_stored_points([(column + 0.5, row + 0.5)], header), [(21.5, 7.5)])
