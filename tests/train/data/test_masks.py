"""Lung masks as they are published become 0 background, 1 right lung, 2 left lung."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.masks import read_grey, read_mask, read_polygons, read_two_masks, shows_both_lungs, sides_of


def blank() -> npt.NDArray[np.uint8]:
    return np.zeros((20, 40), np.uint8)


def saved(path: Path, mask: npt.NDArray[np.uint8]) -> Path:
    cv2.imwrite(str(path), mask)
    return path


def test_labels_are_kept_and_two_values_are_told_apart_by_position(tmp_path: Path) -> None:
    labels, binary = blank(), blank()
    labels[5:15, 5:15], labels[5:15, 25:35] = 2, 1  # a patient seen from behind
    binary[5:15, 5:15] = binary[5:15, 25:35] = 200
    assert (read_mask((saved(tmp_path / "labels.png", labels),)) == labels).all()
    assert (read_mask((saved(tmp_path / "binary.png", binary),)) == (3 - labels) * (labels > 0)).all()


def test_two_masks_of_different_sizes_are_refused(tmp_path: Path) -> None:
    paths = (saved(tmp_path / "a.png", blank()), saved(tmp_path / "b.png", blank()[:10]))
    with pytest.raises(DatasetError, match=r"differ in size: \(20, 40\), \(10, 40\)"):
        read_two_masks(paths)


def test_only_polygons_of_lungs_are_drawn(tmp_path: Path) -> None:
    def box(left: int, right: int) -> list[dict[str, int]]:
        return [{"x": x, "y": y} for x, y in ((left, 5), (left, 14), (right, 14), (right, 5))]

    annotations = [
        {"name": "Lung", "polygon": {"path": box(25, 34)}},
        {"name": "left lung", "polygon": {"paths": [box(5, 14)]}},
        {"name": "Heart", "polygon": {"path": box(16, 22)}},
        {"name": "Lung tag"},
    ]
    document = {"item": {"slots": [{"width": 40, "height": 20}]}, "annotations": annotations}
    (tmp_path / "a.json").write_text(json.dumps(document))
    expected = blank()
    expected[5:15, 5:15], expected[5:15, 25:35] = 1, 2
    assert (read_polygons((tmp_path / "a.json",)) == expected).all()


def test_a_small_part_goes_to_the_nearer_lung() -> None:
    lungs = blank() > 0
    lungs[5:15, 5:15] = lungs[5:15, 25:35] = lungs[1:3, 22:24] = True
    sides = sides_of(lungs)
    assert (sides[10, 10], sides[10, 30], sides[2, 22], sides[0, 0]) == (1, 2, 2, 0)
    assert sides_of(blank() > 0).max() == 0


def test_lungs_that_touch_are_parted_between_them() -> None:
    lungs = np.zeros((60, 100), bool)
    lungs[10:50, 10:45] = lungs[10:50, 55:90] = True
    lungs[28:32, 45:55] = True
    sides = sides_of(lungs)
    assert (sides[20, 12], sides[20, 88]) == (1, 2)
    assert 40 < np.flatnonzero(sides[30] == 2)[0] <= 56


def test_a_mask_shows_both_lungs_only_with_twenty_pixels_of_each() -> None:
    labels = blank()
    labels[:, 0], labels[:19, 30] = 1, 2
    assert not shows_both_lungs(labels)
    labels[19, 30] = 2
    assert shows_both_lungs(labels)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a no picture")
    with pytest.raises(DatasetError, match=r"mask a\.png cannot be decoded"):
        read_grey(tmp_path / "a.png")
