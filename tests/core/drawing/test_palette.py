"""Colours of grades: order, contrast, colour-blind eyes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungsev.drawing.palette import ink_on, luminance, severity_colour, severity_colours

# Machado, Oliveira and Fernandes 2009, severity 1.0: linear RGB as eyes without one kind of cone see it.
COLOUR_BLIND = {
    "full vision": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("eyes", COLOUR_BLIND)
def test_the_palette_gets_lighter_with_severity_and_grades_stay_apart(eyes: str) -> None:
    colours = _as_seen(severity_colours(np.linspace(0, 1, 91)), np.asarray(COLOUR_BLIND[eyes]))
    lab = cv2.cvtColor(colours[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    assert (np.diff(lab[:, 0]) > -0.1).all()
    assert (np.linalg.norm(np.diff(lab[::30], axis=0), axis=1) > 25).all()
    if eyes == "full vision":
        assert np.linalg.norm(lab[8:, 1:], axis=1).min() > 20, "no grey between two grades"


def test_digits_are_legible_on_every_colour() -> None:
    for step in range(61):
        colour = severity_colour(step / 60)
        ink, ground = luminance(ink_on(colour)), luminance(colour)
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5


def _as_seen(colours: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """sRGB 0-255 to sRGB 0-1 through a matrix of linear RGB."""
    linear = np.where(colours <= 10.3, colours / 3294.6, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    return np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


def test_the_ends_and_what_is_beyond_them_have_the_ends_colours() -> None:
    assert severity_colour(0.0) == severity_colour(-1.0) == (92, 107, 122)
    assert severity_colour(1.0) == severity_colour(2.0) == (249, 232, 102)


def test_a_grade_between_two_stops_has_a_colour_between_theirs() -> None:
    assert severity_colour(1 / 12) == (100, 112, 152)
    assert severity_colours(np.array([[0.0, 1.0]])).tolist() == [[[92, 107, 122], [249, 232, 102]]]


def test_luminance_is_that_of_wcag() -> None:
    assert luminance((0, 0, 0)) == 0.0
    assert luminance((255, 255, 255)) == pytest.approx(1.0)
    assert luminance((255, 0, 0)) == pytest.approx(0.2126)
    assert luminance((0, 255, 0)) == pytest.approx(0.7152)
    assert luminance((10, 10, 10)) == pytest.approx(10 / 255 / 12.92)
    assert luminance((128, 128, 128)) == pytest.approx(0.2159, abs=1e-4)


def test_ink_is_black_on_light_and_white_on_dark() -> None:
    assert ink_on((255, 255, 255)) == (0, 0, 0)
    assert ink_on((0, 0, 0)) == (255, 255, 255)
    assert ink_on((117, 117, 117)) == (255, 255, 255)
    assert ink_on((118, 118, 118)) == (0, 0, 0)
