"""Sizes outside the limits are refused before anything is decoded."""

from __future__ import annotations

import pytest

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.reading.limits import ReadLimits

LIMITS = ReadLimits(pixels=10_000, side_px=200, min_side_px=20)


@pytest.mark.parametrize(("rows", "columns"), [(100, 100), (20, 20), (50, 200), (200, 50)])
def test_a_size_at_the_limits_is_allowed(rows: int, columns: int) -> None:
    LIMITS.check_size(rows, columns)


@pytest.mark.parametrize(
    ("rows", "columns", "kind", "code"),
    [
        (0, 100, UnreadableImageError, "wrong_shape"),
        (100, -1, UnreadableImageError, "wrong_shape"),
        (101, 100, UnreadableImageError, "too_large"),
        (201, 30, UnreadableImageError, "too_large"),
        (30, 201, UnreadableImageError, "too_large"),
        (19, 100, SkippedImageError, "too_small"),
        (100, 19, SkippedImageError, "too_small"),
    ],
)
def test_a_size_outside_the_limits_is_refused(rows: int, columns: int, kind: type[ImageError], code: str) -> None:
    with pytest.raises(kind) as caught:
        LIMITS.check_size(rows, columns)
    assert caught.value.code == code
    assert f"{rows} x {columns} pixels" in str(caught.value)


def test_the_largest_detectors_are_within_the_limits() -> None:
    ReadLimits().check_size(4300, 4300)
    assert ReadLimits().file_bytes > 4300 * 4300 * 2
