"""Outlines of the invented patient fit together."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.patient.anatomy import (
    LEFT,
    RIGHT,
    Breath,
    aortic_knob,
    body_outline,
    draw_anatomy,
    heart_outline,
    lung_height,
    lung_outline,
    mediastinum_outline,
    wall_x,
)

FULL = Breath(inspiration=1.0, obliqueness=0.0, arms=0.3)


@pytest.mark.parametrize("seed", range(6))
def test_each_lung_is_on_its_side_and_inside_the_chest_wall(seed: int) -> None:
    anatomy = draw_anatomy(seed)
    for side in (RIGHT, LEFT):
        outline = lung_outline(anatomy, FULL, side)
        assert (outline[:, 0] * side > 0).all()
        height = lung_height(anatomy, FULL, side)
        assert outline[:, 1].max() == pytest.approx(height, abs=0.1)
        assert (np.abs(outline[:, 0]) < wall_x(anatomy, FULL, side, height) + 0.5).all()


def test_the_heart_is_mostly_left_of_the_midline_and_as_wide_as_its_ratio() -> None:
    anatomy = draw_anatomy(3)
    heart = heart_outline(anatomy, FULL)
    assert heart[:, 0].max() > -1.5 * heart[:, 0].min() > 0
    width = np.ptp(heart[:, 0]) / (2 * anatomy.half_width)
    assert width == pytest.approx(anatomy.heart_ratio * 1.02, rel=0.05)


def test_a_shallow_breath_makes_the_lungs_shorter() -> None:
    anatomy = draw_anatomy(3)
    shallow = Breath(inspiration=0.7, obliqueness=0.0, arms=0.3)
    assert lung_height(anatomy, shallow, RIGHT) == pytest.approx(0.7 * lung_height(anatomy, FULL, RIGHT))
    assert np.ptp(heart_outline(anatomy, shallow)[:, 0]) > np.ptp(heart_outline(anatomy, FULL)[:, 0])


def test_an_oblique_patient_shows_the_front_shifted() -> None:
    anatomy = draw_anatomy(3)
    oblique = Breath(inspiration=1.0, obliqueness=2.0, arms=0.3)
    for outline in (heart_outline, mediastinum_outline, aortic_knob):
        assert outline(anatomy, oblique)[:, 0].mean() > outline(anatomy, FULL)[:, 0].mean()


def test_the_torso_holds_the_lungs_and_raised_arms_leave_it() -> None:
    anatomy = draw_anatomy(5)
    torso, left, right = body_outline(anatomy, FULL)
    assert torso[:, 0].max() > wall_x(anatomy, FULL, LEFT, anatomy.height) + 0.5 * anatomy.fat
    np.testing.assert_allclose(np.sort(left[:, 0]), np.sort(-right[:, 0]))
    raised = body_outline(anatomy, Breath(1.0, 0.0, 1.0))[1]
    assert raised[:, 0].max() > left[:, 0].max()


def test_patients_differ_and_stay_adult() -> None:
    patients = [draw_anatomy(seed) for seed in range(30)]
    assert len({patient.half_width for patient in patients}) > 20
    assert all(20 < patient.height <= 28 for patient in patients)
    assert draw_anatomy(4) == draw_anatomy(4)
