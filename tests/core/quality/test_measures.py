"""Measures of images and outputs whose numbers can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.geometry import CanvasFrame
from lungsev.preprocessing.canvas import Canvas
from lungsev.quality.lung_shape import LungShape
from lungsev.quality.measures import measure_alignment, measure_grades, measure_image, measure_shape
from lungsev.reading.polarity import chest_likeness

SIDE = 64


def canvas_of(pixels: np.ndarray, frame: CanvasFrame | None = None) -> Canvas:
    frame = frame or CanvasFrame(SIDE * 2, SIDE * 2, SIDE, 0.5, (0.0, 0.0))
    return Canvas(np.ascontiguousarray(pixels, np.float32), frame)


def half_white(axis: int) -> np.ndarray:
    """The second half of the rows (axis 0) or columns (axis 1) is white."""
    return np.broadcast_to(np.expand_dims(np.arange(SIDE) >= SIDE // 2, 1 - axis), (SIDE, SIDE)).astype(np.float32)


def test_a_blank_image_has_neither_structure_nor_grain() -> None:
    measures = measure_image(canvas_of(np.full((SIDE, SIDE), 0.4)))
    assert measures["structure"] == pytest.approx(0, abs=1e-6)
    assert measures["grain"] == 0


def test_structure_is_the_deviation_of_cells_and_grain_the_mean_step_along_rows() -> None:
    measures = measure_image(canvas_of(half_white(1)))
    assert measures["structure"] == pytest.approx(0.5)
    assert measures["grain"] == pytest.approx(1 / (SIDE - 1))
    assert measure_image(canvas_of(half_white(0)))["grain"] == 0
    fine = np.indices((SIDE, SIDE)).sum(axis=0) % 2  # a chequerboard: all grain, no structure
    measures = measure_image(canvas_of(fine))
    assert measures["structure"] == pytest.approx(0, abs=1e-6)
    assert measures["grain"] == 1


def test_likeness_is_measured_upright_upside_down_and_on_either_side() -> None:
    pixels = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)
    pixels[8:50, 10:26] = pixels[8:50, 38:54] = 0.1

    def likeness(turns: int) -> float:
        return chest_likeness(np.ascontiguousarray(np.rot90(pixels, turns)), (0, 0, SIDE, SIDE))

    for turned in range(4):
        measures = measure_image(canvas_of(np.rot90(pixels, turned)))
        assert measures["chest_likeness"] == pytest.approx(likeness(turned))
        assert measures["upside_down"] == pytest.approx(likeness(turned + 2) - likeness(turned))
        sideways = max(likeness(turned + 1), likeness(turned + 3))
        assert measures["on_side"] == pytest.approx(sideways - likeness(turned))


def test_only_the_image_counts_and_not_the_canvas_around_it() -> None:
    pixels = np.zeros((SIDE, SIDE))
    pixels[16:48] = half_white(1)[16:48]
    frame = CanvasFrame(rows=64, columns=128, size_px=SIDE, scale=0.5, offset_px=(0.0, 16.0))
    measures = measure_image(canvas_of(pixels, frame))
    assert measures["structure"] == pytest.approx(0.5)
    assert measures["image_pixels"] == 128


def test_an_image_of_no_size_on_the_canvas_has_no_measures() -> None:
    frame = CanvasFrame(rows=1, columns=128, size_px=SIDE, scale=0.5, offset_px=(0.0, 0.0))
    names = (
        *("structure", "grain", "chest_likeness", "upside_down", "on_side", "image_pixels", "corner_lean_deg"),
        *("page_shape", "seam", "gap", "still", "repeated", "noise"),
    )
    assert measure_image(canvas_of(np.ones((SIDE, SIDE)), frame)) == dict.fromkeys(names, 0.0)


def test_the_outline_is_reported_under_its_names_with_the_confidence_of_the_mask() -> None:
    shape = LungShape(0.3, 2, 0.9, False, 0.8, 0.4, 0.2, 0.1, False, False, False, 0.6, 0.7, 0.2, 0.3, 0.5, 3, 4.0, 8.0)
    probability = np.array([[0.5, 0.9], [0.499, 0.1]], np.float32)
    measures = measure_shape(shape, probability)
    assert measures.pop("mask_confidence") == pytest.approx(0.7)
    assert measures == {
        "lung_fraction": 0.3, "lung_parts": 2.0, "lung_ratio": 0.9, "lung_solidity": 0.8, "lung_upright": 0.4,
        "lung_contrast": 0.2, "lung_burnt_out": 0.1, "lung_slant_deg": 4.0, "lungs_in_a_row": 3.0, "lung_height": 0.5,
        "lung_top_share": 0.6, "lung_bottom_share": 0.7, "lung_left_share": 0.2, "lung_right_share": 0.3,
        "lung_lean_deg": 6.0,
    }  # fmt: skip


def theta_of(rows: list[list[float]]) -> dict[str, np.ndarray]:
    return {"theta": np.array([rows], np.float32)}


def test_the_share_of_the_lungs_in_the_aligned_frame_counts_their_pixels() -> None:
    probability = np.zeros((4, 4), np.float32)
    probability[1, :] = 0.5  # pixel centres at x = -.75, -.25, .25, .75 and y = -.25
    whole = measure_alignment(theta_of([[1, 0, 0], [0, 1, 0]]), probability)
    assert whole == pytest.approx({"lungs_in_frame": 1.0, "frame_scale": 1.0, "tilt_deg": 0.0})
    half = measure_alignment(theta_of([[0.5, 0, 0], [0, 0.5, 0]]), probability)
    assert half == pytest.approx({"lungs_in_frame": 0.5, "frame_scale": 0.5, "tilt_deg": 0.0})
    assert measure_alignment(theta_of([[0.5, 0, 0.5], [0, 0.5, 0]]), probability)["lungs_in_frame"] == 0.5
    assert measure_alignment(theta_of([[0.5, 0, 0.75], [0, 0.5, 0]]), probability)["lungs_in_frame"] == 0.5
    assert measure_alignment(theta_of([[1, 0, 0], [0, 1, 0.75]]), probability)["lungs_in_frame"] == 1.0
    assert measure_alignment(theta_of([[1, 0, 0], [0, 1, 0.8]]), probability)["lungs_in_frame"] == 0.0
    assert measure_alignment(theta_of([[2, 0, 0], [0, 0.5, 0]]), probability)["frame_scale"] == 1.0


@pytest.mark.parametrize("degrees", [30.0, -50.0])
def test_the_tilt_is_the_angle_of_the_alignment(degrees: float) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = theta_of([[0.6 * cosine, -0.6 * sine, 0], [0.6 * sine, 0.6 * cosine, 0]])
    measures = measure_alignment(turned, np.ones((4, 4), np.float32))
    assert measures["tilt_deg"] == pytest.approx(degrees, abs=1e-4)
    assert measures["frame_scale"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    "rows",
    [[[np.nan, 0, 0], [0, 1, 0]], [[1, 0, np.inf], [0, 1, 0]], [[0.009, 0, 0], [0, 0.01, 0]], [[1, 1, 0], [1, 1, 0]]],
)
def test_an_alignment_that_is_none_has_no_lungs_in_its_frame(rows: list[list[float]]) -> None:
    assert measure_alignment(theta_of(rows), np.ones((4, 4), np.float32)) == {"lungs_in_frame": 0.0}


def test_grade_confidence_is_the_mean_of_the_most_probable_grades_of_the_main_scheme() -> None:
    outputs = {
        "probabilities.a": np.array([[[0.2, 0.8], [0.6, 0.4]]], np.float32),
        "probabilities.b": np.array([[[0.1, 0.2, 0.7]]], np.float32),
        "severity_map.a": np.full((1, 2, 2), 9.0, np.float32),
    }
    assert measure_grades(outputs)["grade_confidence"] == pytest.approx((0.8 + 0.6) / 2)
    brixia = np.array([[[0.5, 0.5, 0.0, 0.0]]], np.float32)
    assert measure_grades({**outputs, "probabilities.brixia": brixia})["grade_confidence"] == pytest.approx(0.5)
    assert measure_grades({"probabilities.a": np.full((1, 1, 2), np.nan, np.float32)}) == {"grade_confidence": 0.0}
    assert measure_grades({"lung_mask": np.ones((1, 1, 2, 2), np.float32)}) == {}


def test_a_lung_counts_as_inside_only_in_a_half_of_a_frame() -> None:
    probability = np.zeros((64, 64), np.float32)
    probability[16:48, 8:24] = 1.0  # the right lung, in its own frame
    probability[16:48, 40:56] = 1.0  # the left lung, below its own frame
    right, left = [[0.75, 0.0, 0.0], [0.0, 0.6, 0.0]], [[0.75, 0.0, 0.0], [0.0, 0.1, 0.9]]
    found = measure_alignment({"theta": np.array([[right, left]])}, probability)
    assert found["lungs_in_frame"] == pytest.approx(0.5)
    assert found["tilt_deg"] == pytest.approx(0.0)
    assert found["frame_scale"] == pytest.approx(np.sqrt(0.75 * 0.8)), "of the box around both"
    both = measure_alignment({"theta": np.array([[right, right]])}, probability)
    assert both["lungs_in_frame"] == pytest.approx(1.0)
    assert measure_alignment({"theta": np.array([[right, np.zeros((2, 3))]])}, probability) == {"lungs_in_frame": 0.0}
