"""Points and masks find their way through the three frames and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.geometry import (
    IDENTITY_THETA,
    CanvasFrame,
    apply_theta,
    box_corners,
    box_polygon,
    changed,
    common_theta,
    compose,
    corner_error_px,
    homogeneous,
    invert,
    tilt_deg,
    warp,
)
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo

repeatable = settings(derandomize=True, deadline=None, max_examples=60)

coordinates = st.floats(-5000, 5000, allow_nan=False, width=32)
points = st.tuples(coordinates, coordinates).map(np.array)
frames = st.builds(
    CanvasFrame,
    rows=st.integers(1, 5000),
    columns=st.integers(1, 5000),
    size_px=st.sampled_from([64, 512]),
    scale=st.floats(0.05, 5.0),
    offset_px=st.tuples(st.floats(-600, 600), st.floats(-600, 600)),
)


@st.composite
def alignments(draw: st.DrawFn) -> np.ndarray:
    """Turned up to 40 degrees, scaled 0.3-2, shifted up to half the canvas, sheared a little."""
    angle = np.radians(draw(st.floats(-40, 40)))
    scale_x, scale_y = draw(st.floats(0.3, 2.0)), draw(st.floats(0.3, 2.0))
    shift = draw(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn @ np.diag([scale_x, scale_y]), shift])


def test_points_are_scaled_and_shifted_onto_the_canvas() -> None:
    frame = CanvasFrame(rows=40, columns=30, size_px=64, scale=0.5, offset_px=(3.0, -4.0))
    np.testing.assert_array_equal(frame.to_canvas(np.array([[10.0, 20.0], [0.0, 0.0]])), [[8.0, 6.0], [3.0, -4.0]])
    np.testing.assert_array_equal(frame.to_image(np.array([8.0, 6.0])), [10.0, 20.0])


def test_an_alignment_is_applied_with_x_first() -> None:
    theta = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(apply_theta(theta, np.array([[1.0, 10.0], [0.0, 0.0]])), [[24.0, 60.0], [3.0, 6.0]])
    np.testing.assert_array_equal(homogeneous(theta), [[1, 2, 3], [4, 5, 6], [0, 0, 1]])
    np.testing.assert_array_equal(compose(theta, np.array([[1.0, 0, 1], [0, 1, 2]])), [[1, 2, 8], [4, 5, 20]])


@pytest.mark.parametrize(
    ("side", "scale", "offset"), [(40, 1.0, (0.0, 0.0)), (20, 1.0, (6.0, 4.0)), (80, 0.5, (3.0, 9.0))]
)
def test_a_map_of_any_side_is_read_at_the_centres_of_the_images_pixels(
    side: int, scale: float, offset: tuple[float, float]
) -> None:
    frame = CanvasFrame(rows=20, columns=28, size_px=40, scale=scale, offset_px=offset)
    ramp = np.broadcast_to((np.arange(side) + 0.5) * 40 / side, (side, side))  # the canvas coordinate of every cell
    inside = np.s_[2:-2, 2:-2]
    for axis, values in enumerate((ramp, ramp.T)):
        found = frame.mask_to_image(values)
        assert found.dtype == np.float32
        y, x = np.mgrid[:20, :28] + 0.5
        expected = (x, y)[axis] * scale + offset[axis]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found[inside], expected[inside], atol=0.05)


def test_what_is_outside_the_canvas_is_zero() -> None:
    frame = CanvasFrame(rows=20, columns=20, size_px=20, scale=1.0, offset_px=(10.0, 0.0))
    found = frame.mask_to_image(np.ones((20, 20)))
    assert found[:, :10].min() == 1
    assert found[:, 10:].max() == 0


@pytest.mark.parametrize(
    "theta",
    [
        np.array([[0.5, 0.0, 0.2], [0.0, 0.4, -0.3]]),
        np.array([[0.4, -0.3, 0.1], [0.2, 0.5, 0.05]]),
    ],
)
def test_warp_reads_the_canvas_where_the_alignment_maps_each_pixel(theta: np.ndarray) -> None:
    rows, columns, size = 48, 64, 16
    v, u = (np.mgrid[:size, :size] + 0.5) * 2 / size - 1
    mapped = apply_theta(theta, np.stack([u, v], axis=-1))
    for axis, length in enumerate((columns, rows)):
        ramp = np.moveaxis(np.broadcast_to(np.arange(length) + 0.5, (rows + columns - length, length)), 1, 1 - axis)
        expected = (mapped[..., axis] + 1) / 2 * length
        np.testing.assert_allclose(warp(ramp, theta, size), expected, atol=0.06)


def test_warp_gives_zeros_outside_the_canvas() -> None:
    warped = warp(np.ones((32, 32)), np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), 16)
    assert warped.dtype == np.float32
    assert warped[5:11, 5:11].min() == 1
    assert warped[:3].max() == warped[:, -3:].max() == 0


def test_a_box_is_mapped_through_the_canvas_into_the_image() -> None:
    frame = CanvasFrame(rows=100, columns=200, size_px=200, scale=2.0, offset_px=(10.0, 50.0))
    theta = np.array([[0.5, 0.0, 0.2], [0.0, 0.5, -0.1]])
    polygon = box_polygon((0.25, 0.5, 1.0, 1.0), theta, frame)
    np.testing.assert_allclose(polygon, [[55.0, 7.5], [80.0, 7.5], [80.0, 45.0], [55.0, 45.0]])


def test_the_corner_error_of_a_doubled_frame_is_half_its_diagonal() -> None:
    double = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert corner_error_px(double, IDENTITY_THETA, 512) == pytest.approx(256 * np.sqrt(2))
    assert corner_error_px(IDENTITY_THETA, IDENTITY_THETA, 512) == 0


@repeatable
@given(frames, points)
def test_a_point_comes_back_from_the_canvas(frame: CanvasFrame, point: np.ndarray) -> None:
    np.testing.assert_allclose(frame.to_image(frame.to_canvas(point)), point, atol=1e-6)
    np.testing.assert_allclose(frame.to_canvas(frame.to_image(point)), point, atol=1e-6)


@repeatable
@given(alignments(), points)
def test_a_point_comes_back_from_the_aligned_frame(theta: np.ndarray, point: np.ndarray) -> None:
    point = point / 5000
    np.testing.assert_allclose(apply_theta(invert(theta), apply_theta(theta, point)), point, atol=1e-6)


@repeatable
@given(alignments(), alignments(), points)
def test_composing_is_applying_one_after_the_other(outer: np.ndarray, inner: np.ndarray, point: np.ndarray) -> None:
    point = point / 5000
    expected = apply_theta(outer, apply_theta(inner, point))
    np.testing.assert_allclose(apply_theta(compose(outer, inner), point), expected, atol=1e-9)


@repeatable
@given(alignments())
def test_a_map_and_its_inverse_compose_to_nothing(theta: np.ndarray) -> None:
    np.testing.assert_allclose(compose(theta, invert(theta)), IDENTITY_THETA, atol=1e-9)


@repeatable
@given(alignments(), st.integers(-40, 40), st.integers(-40, 40))
def test_shifting_an_alignment_moves_every_corner_that_far(theta: np.ndarray, right: int, down: int) -> None:
    shifted = theta + np.array([[0, 0, 2 * right / 512], [0, 0, 2 * down / 512]])
    assert corner_error_px(shifted, theta, 512) == pytest.approx(np.hypot(right, down), abs=1e-6)


def test_a_singular_alignment_cannot_be_inverted() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        invert(np.zeros((2, 3)))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    st.integers(90, 400),
    st.integers(90, 400),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)),
)
def test_what_lies_at_a_canvas_point_lay_at_its_image_point(
    rows: int, columns: int, origin: tuple[int, int], place: tuple[float, float]
) -> None:
    y0, x0 = origin
    y, x = y0 + (rows - y0) * place[0], x0 + (columns - x0) * place[1]
    grid_y, grid_x = np.mgrid[:rows, :columns] + 0.5
    spread = min(rows - y0, columns - x0) / 10
    blob = np.exp(-((grid_y - y) ** 2 + (grid_x - x) ** 2) / (2 * spread**2)).astype(np.float32)
    canvas = to_canvas(Radiograph(Brightness(blob), ImageInfo(), (y0, x0, rows, columns)), 256)
    bright = np.clip(canvas.pixels.astype(np.float64) - 0.5, 0, None)
    canvas_y, canvas_x = np.mgrid[:256, :256] + 0.5
    found = np.array([(bright * canvas_x).sum(), (bright * canvas_y).sum()]) / bright.sum()
    np.testing.assert_allclose(canvas.frame.to_image(found), (x, y), atol=0.75 / canvas.frame.scale)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(100, 300), st.integers(100, 300), st.sampled_from([64, 128, 512]))
def test_a_mask_returns_to_where_it_was_drawn(rows: int, columns: int, mask_side: int) -> None:
    frame = to_canvas(Radiograph(Brightness(_ramp(rows, columns)), ImageInfo(), (0, 0, rows, columns))).frame
    box = np.array([[0.3 * columns, 0.4 * rows], [0.7 * columns, 0.8 * rows]])
    (left, top), (right, bottom) = frame.to_canvas(box) * mask_side / frame.size_px
    y, x = np.mgrid[:mask_side, :mask_side] + 0.5
    mask = ((x >= left) & (x < right) & (y >= top) & (y < bottom)).astype(np.float32)
    found = np.argwhere(frame.mask_to_image(mask) > 0.5)
    assert found.shape[0] > 0
    tolerance = 1.0 + frame.size_px / mask_side / frame.scale
    np.testing.assert_allclose(found.min(axis=0)[::-1], box[0], atol=tolerance)
    np.testing.assert_allclose(found.max(axis=0)[::-1] + 1, box[1], atol=tolerance)


def test_the_identity_warp_keeps_the_canvas() -> None:
    canvas = _ramp(64, 64)
    np.testing.assert_allclose(warp(canvas, IDENTITY_THETA, 64), canvas, atol=1e-6)


def test_warp_looks_where_theta_points() -> None:
    canvas = np.zeros((64, 64), np.float32)
    canvas[32:, 32:] = 1.0  # lower right quarter
    theta = np.array([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    assert warp(canvas, theta, 32)[1:, 1:].min() == 1.0


def test_a_box_becomes_a_polygon_clockwise_from_the_upper_left() -> None:
    frame = CanvasFrame(rows=100, columns=200, size_px=200, scale=1.0, offset_px=(0.0, 50.0))
    polygon = box_polygon((0.0, 0.0, 0.5, 0.5), IDENTITY_THETA, frame)
    np.testing.assert_allclose(polygon, [[0, -50], [100, -50], [100, 50], [0, 50]])


def test_corners_run_clockwise() -> None:
    np.testing.assert_array_equal(box_corners((0.1, 0.2, 0.3, 0.4)), [[0.2, 0.1], [0.4, 0.1], [0.4, 0.3], [0.2, 0.3]])


def _ramp(rows: int, columns: int) -> np.ndarray:
    return np.add.outer(np.linspace(0, 0.5, rows), np.linspace(0, 0.5, columns)).astype(np.float32)


@pytest.mark.parametrize("degrees", [-170.0, -20.0, 0.0, 35.0])
def test_the_tilt_is_the_angle_of_a_frame_that_was_scaled_and_turned(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    theta = 0.7 * np.array([[np.cos(angle), -np.sin(angle), 0.1], [np.sin(angle), np.cos(angle), -0.3]])
    assert tilt_deg(theta) == pytest.approx(degrees)


RIGHT_AND_LEFT = np.array([[[0.5, 0, -0.05], [0, 0.6, 0.1]], [[0.4, 0, 0.1], [0, 0.8, -0.05]]])
FLIP = np.array([[-1.0, 0, 0], [0, 1.0, 0]])


def test_each_half_of_the_aligned_frame_shows_the_lung_whose_frame_it_is() -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    shown = warp(image, RIGHT_AND_LEFT, 32)
    np.testing.assert_allclose(shown[:, :16], warp(image, RIGHT_AND_LEFT[0], 32)[:, :16], atol=0.05)
    np.testing.assert_allclose(shown[:, 16:], warp(image, RIGHT_AND_LEFT[1], 32)[:, 16:], atol=0.05)


def test_the_common_box_holds_the_boxes_of_both_lungs_and_no_more() -> None:
    # Right lung: x from -.55 to -.05, y from -.5 to .7; left lung: x from .1 to .5, y from -.85 to .75.
    box = apply_theta(common_theta(RIGHT_AND_LEFT), np.array([[-1.0, -1.0], [1.0, 1.0]]))
    np.testing.assert_allclose(box, [[-0.55, -0.85], [0.5, 0.75]])
    np.testing.assert_array_equal(common_theta(IDENTITY_THETA), IDENTITY_THETA)


@repeatable
@given(st.floats(-20, 20), st.floats(0.8, 1.2), st.floats(-0.1, 0.1), st.booleans())
def test_two_frames_that_are_halves_of_one_change_as_that_one(
    angle: float, scale: float, shift: float, flip: bool
) -> None:
    turn = np.radians(angle)
    change = np.array([[np.cos(turn), -np.sin(turn), shift], [np.sin(turn), np.cos(turn), -shift]])
    change[:, :2] *= scale
    change = compose(change, FLIP) if flip else change
    one = np.array([[0.7, 0, 0.1], [0, 0.8, -0.05]])
    both = changed(np.stack([one, one]), change)
    np.testing.assert_allclose(both, np.stack([compose(one, change)] * 2), atol=1e-12)


def test_a_flip_shows_the_other_lung_mirrored() -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    flipped = warp(image, changed(RIGHT_AND_LEFT, FLIP), 32)
    np.testing.assert_allclose(flipped, warp(image, RIGHT_AND_LEFT, 32)[:, ::-1], atol=0.05)


def test_the_box_of_a_region_lies_in_the_frame_of_its_lung() -> None:
    frame = CanvasFrame(rows=64, columns=64, size_px=64, scale=1.0, offset_px=(0.0, 0.0))
    upper_right = box_polygon((0.0, 0.0, 0.5, 0.5), RIGHT_AND_LEFT, frame)
    upper_left = box_polygon((0.0, 0.5, 0.5, 1.0), RIGHT_AND_LEFT, frame)
    expected = [[-0.55, -0.5], [-0.05, -0.5], [-0.05, 0.1], [-0.55, 0.1]]
    np.testing.assert_allclose(upper_right, (np.array(expected) + 1) * 32)
    expected = [[0.1, -0.85], [0.5, -0.85], [0.5, -0.05], [0.1, -0.05]]
    np.testing.assert_allclose(upper_left, (np.array(expected) + 1) * 32)


def test_the_corners_of_both_lungs_are_compared() -> None:
    moved = RIGHT_AND_LEFT.copy()
    moved[1, 0, 2] += 0.1
    assert corner_error_px(moved, RIGHT_AND_LEFT, 512) == pytest.approx(0.1 * 256 / 2)
