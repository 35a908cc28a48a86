"""The aligned frame is the box around both lungs, whatever else is on the mask."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungsev.geometry import apply_theta, corner_error_px, warp
from lungsev.preprocessing.alignment import MARGIN, alignment_from_mask, lung_frames_from_mask


def two_lungs(side: int = 256) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.rectangle(mask, (side // 4, side // 8), (side * 7 // 16 - 1, side * 5 // 8 - 1), 1, -1)
    cv2.rectangle(mask, (side * 9 // 16, side // 4), (side * 3 // 4 - 1, side * 3 // 4 - 1), 2, -1)
    return mask


def test_the_frame_encloses_both_lungs_with_the_margin() -> None:
    theta = alignment_from_mask(two_lungs())
    corners = (apply_theta(theta, np.array([[-1.0, -1.0], [1.0, 1.0]])) + 1) / 2
    grow = MARGIN / (1 - 2 * MARGIN)
    expected = [[0.25 - 0.5 * grow, 0.125 - 0.625 * grow], [0.75 + 0.5 * grow, 0.75 + 0.625 * grow]]
    np.testing.assert_allclose(corners, expected, atol=1e-6)


def test_the_warped_lungs_fill_the_frame() -> None:
    mask = two_lungs()
    aligned = warp((mask > 0).astype(np.float32), alignment_from_mask(mask), 200) > 0.5
    rows, columns = np.flatnonzero(aligned.any(1)), np.flatnonzero(aligned.any(0))
    for found in (rows, columns):
        assert found[0] == pytest.approx(200 * MARGIN, abs=1)
        assert found[-1] + 1 == pytest.approx(200 * (1 - MARGIN), abs=1)


def test_stray_pixels_do_not_move_it() -> None:
    clean = two_lungs()
    noisy = clean.copy()
    noisy[2:5, 2:5] = noisy[250, 200:210] = 1
    assert corner_error_px(alignment_from_mask(noisy), alignment_from_mask(clean), 512) == 0


def test_labels_booleans_and_probabilities_mean_the_same() -> None:
    mask = two_lungs()
    expected = alignment_from_mask(mask)
    np.testing.assert_array_equal(alignment_from_mask(mask > 0), expected)
    np.testing.assert_array_equal(alignment_from_mask(np.where(mask > 0, 0.7, 0.3)), expected)


def test_one_lung_alone_is_still_framed() -> None:
    mask = two_lungs()
    mask[mask == 1] = 0
    theta = alignment_from_mask(mask)
    assert 0 < theta[0, 0] < 0.25
    assert theta[0, 1] == theta[1, 0] == 0


def test_an_empty_mask_gives_the_identity() -> None:
    np.testing.assert_array_equal(alignment_from_mask(np.zeros((64, 64), np.uint8)), [[1, 0, 0], [0, 1, 0]])


def test_resolution_does_not_matter() -> None:
    coarse, fine = alignment_from_mask(two_lungs(64)), alignment_from_mask(two_lungs(512))
    assert corner_error_px(coarse, fine, 512) < 1


def test_each_lung_has_its_own_upright_box() -> None:
    labels = np.zeros((128, 128), np.uint8)
    labels[20:80, 10:50] = 1
    labels[40:110, 70:120] = 2
    frames = lung_frames_from_mask(labels)
    halves = ((-1.0, 0.0), (0.0, 1.0))
    boxes = [
        apply_theta(frame, np.array([[x0, -1.0], [x1, 1.0]])) for frame, (x0, x1) in zip(frames, halves, strict=True)
    ]
    margins = [MARGIN / (1 - 2 * MARGIN) * np.array(size) for size in ((40, 60), (50, 70))]
    lungs = [np.array([[10, 20], [50, 80]]), np.array([[70, 40], [120, 110]])]
    for box, lung, margin in zip(boxes, lungs, margins, strict=True):
        np.testing.assert_allclose((box + 1) * 64, lung + np.array([-margin, margin]))
