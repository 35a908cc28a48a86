"""Drawn changes can be repeated, keep an image an image, and keep labels with what they label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.geometry import compose, warp
from lungsev.train.data.augmentation import (
    Distortion,
    DistortionSettings,
    Geometry,
    GeometrySettings,
    Intensity,
    IntensitySettings,
    apply_distortion,
    apply_intensity,
    draw_distortion,
    draw_geometry,
    draw_intensity,
    swap_sides,
)
from lungsev.train.data.masks import shows_both_lungs

STRONG = IntensitySettings(p=1, brightness=0.4, contrast=0.6, gamma=0.5, noise=0.1, shade=0.5, erase=1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_an_image_stays_between_zero_and_one_and_the_same_draw_gives_the_same_image(seed: int) -> None:
    image = np.random.default_rng(0).random((24, 32)).astype(np.float32)
    draws = [draw_intensity(STRONG, np.random.default_rng(seed)) for _ in range(2)]
    first, second = (apply_intensity(image, draw) for draw in draws)
    assert draws[0] == draws[1]
    assert np.array_equal(first, second)
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1


def test_nothing_drawn_changes_nothing() -> None:
    image = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    assert np.allclose(apply_intensity(image, Intensity()), image, atol=1e-6)
    assert np.allclose(Geometry().matrix(), np.eye(3)[:2])
    assert apply_distortion(image, Distortion()) is image
    off = draw_geometry(GeometrySettings(p=0, flip=0), np.random.default_rng(0))
    assert off == Geometry()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_drawn_geometry_stays_in_its_ranges(seed: int) -> None:
    ranges = GeometrySettings(p=1, rotation_deg=10, scale=0.1, shift=0.05)
    draw = draw_geometry(ranges, np.random.default_rng(seed))
    assert abs(draw.rotation_deg) <= 10
    assert all(1 / 1.1 - 1e-9 <= scale <= 1.1 + 1e-9 for scale in draw.scale_xy)
    assert all(abs(shift) <= 0.05 for shift in draw.shift_xy)


def test_a_flip_mirrors_the_aligned_crop() -> None:
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    theta = np.eye(3)[:2]
    plain = warp(image, theta, 32)
    flipped = warp(image, compose(theta, Geometry(flip=True).matrix()), 32)
    assert np.allclose(flipped, plain[:, ::-1], atol=1e-3)


def test_a_smooth_distortion_leaves_the_border() -> None:
    image = np.ones((40, 40), np.float32)
    draw = draw_distortion(DistortionSettings(p=1.0, strength=0.05), np.random.default_rng(1))
    assert draw.nodes is not None
    assert np.abs(draw.nodes).max() > 0
    assert apply_distortion(image, draw)[20, 20] == pytest.approx(1.0)


def test_sides_are_swapped_with_a_flipped_mask() -> None:
    assert swap_sides(np.array([[0, 1, 2]], np.uint8)).tolist() == [[0, 2, 1]]


def test_a_mask_without_both_lungs_is_no_frame_for_two() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 10:30] = 1
    assert not shows_both_lungs(mask)
    mask[10:40, 34:54] = 2
    assert shows_both_lungs(mask)
