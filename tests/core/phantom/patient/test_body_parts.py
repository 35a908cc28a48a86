"""Radiographs of other body parts: dense where their bones are, and varied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lungsev.phantom.patient import body_parts

PARTS = (
    body_parts.draw_hand,
    body_parts.draw_hip,
    body_parts.draw_knee,
    body_parts.draw_abdomen,
    body_parts.draw_lateral,
)


@pytest.mark.parametrize("draw", PARTS)
def test_a_body_part_has_contrast_and_the_stated_longer_side(draw: Callable[..., np.ndarray]) -> None:
    image = draw(np.random.default_rng(2), 160)
    assert max(image.shape) == 160
    assert np.isfinite(image).all()
    assert np.percentile(image, 95) - np.percentile(image, 5) > 0.3


@pytest.mark.parametrize("draw", PARTS)
def test_the_random_numbers_decide_the_image(draw: Callable[..., np.ndarray]) -> None:
    first, again, other = (draw(np.random.default_rng(seed), 128) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
