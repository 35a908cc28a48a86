"""Drawing in centimetres: points, layers and curves are where the frame says."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.canvas import (
    RadiographFrame,
    blur,
    ellipse,
    mirrored,
    rounded_thickness,
    smooth_closed,
    smooth_open,
)

FRAME = RadiographFrame.place(100, 80, 4.0, (0.0, 10.0), 0.0)


def test_the_given_centre_is_in_the_middle_and_the_patients_left_on_the_right() -> None:
    np.testing.assert_allclose(
        FRAME.to_px(np.array([[0.0, 10.0], [1.0, 10.0], [0.0, 11.0]])), [[40, 50], [44, 50], [40, 54]]
    )


def test_a_positive_rotation_is_clockwise() -> None:
    turned = RadiographFrame.place(100, 80, 4.0, (0.0, 10.0), 90.0)
    np.testing.assert_allclose(turned.to_px(np.array([1.0, 10.0])), [40, 54], atol=1e-9)


def test_the_grid_of_centimetres_is_the_inverse_of_the_points() -> None:
    frame = RadiographFrame.place(60, 70, 3.0, (1.0, 5.0), 17.0)
    x, y = frame.cm_grid()
    points = np.array([[x[20, 30], y[20, 30]]], np.float64)
    np.testing.assert_allclose(frame.to_px(points), [[30.5, 20.5]], atol=1e-4)


def test_a_scaled_frame_shows_the_same_view() -> None:
    points = np.array([[-3.0, 2.0], [4.0, 17.0]])
    np.testing.assert_allclose(FRAME.scaled(200, 160).to_px(points), 2 * FRAME.to_px(points))


def test_a_filled_ellipse_has_its_area() -> None:
    layer = FRAME.fill(FRAME.blank(), [ellipse(0, 10, 5, 3, points=200)])
    assert layer.sum() / 255 / 4.0**2 == pytest.approx(np.pi * 5 * 3, rel=0.1)  # the outline itself is painted too


def test_a_stroke_has_its_width_and_is_never_thinner_than_a_pixel() -> None:
    line = np.array([[-8.0, 10.0], [8.0, 10.0]])
    thick = FRAME.stroke(FRAME.blank(), [line], 2.0)
    assert thick[:, 40].sum() / 255 == pytest.approx(8, abs=2)
    thin = FRAME.stroke(FRAME.blank(), [line], 0.001)
    assert 0.5 < thin[:, 40].sum() / 255 < 3
    lines = [line, line + 3]
    np.testing.assert_array_equal(
        FRAME.stroke(FRAME.blank(), np.stack(lines), 2.0), FRAME.stroke(FRAME.blank(), lines, 2.0)
    )


@pytest.mark.parametrize("sigma", [0.1, 2.0, 11.0])
def test_a_blur_keeps_the_mean_and_removes_contrast(sigma: float) -> None:
    image = np.random.default_rng(0).random((128, 96), dtype=np.float32)
    soft = blur(image, sigma)
    assert soft.mean() == pytest.approx(image.mean(), abs=0.01)
    assert (soft.std() < 0.5 * image.std()) == (sigma > 1)


def test_a_rounded_body_is_thick_inside_and_thin_at_its_outline() -> None:
    mask = FRAME.fill(FRAME.blank(), [ellipse(0, 10, 8, 8, points=200)])
    thickness = rounded_thickness(mask, 20.0)
    assert thickness[0, 0] == 0
    assert thickness[50, 40] > 0.95
    assert 0.1 < thickness[50, 40 + 29] < 0.6


def test_curves_pass_through_their_points() -> None:
    points = np.array([[0.0, 0.0], [2.0, 1.0], [3.0, 4.0], [0.0, 5.0]])
    np.testing.assert_allclose(smooth_open(points, steps=5)[::5], points)
    np.testing.assert_allclose(smooth_closed(points, steps=5)[::5], points)
    np.testing.assert_allclose(mirrored(points, -1)[:, 0], -points[:, 0])
