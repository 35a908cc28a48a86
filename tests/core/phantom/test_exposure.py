"""The beam, the unit's processing and the finish of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungsev.phantom.exposure import (
    Finish,
    ToneCurve,
    add_grain,
    draw_exposure,
    draw_finish,
    expose,
    finish,
    tone,
    tone_curve,
)

EXPOSURE = draw_exposure(np.random.default_rng(0))


def test_denser_tissue_is_brighter() -> None:
    attenuation = np.repeat(np.linspace(0.5, 4, 80, dtype=np.float32)[None], 60, axis=0)
    signal = expose(attenuation, 2.0, replace(EXPOSURE, heel_x=0.0, heel_y=0.0))
    assert np.all(np.diff(signal[30, 5:-5]) > 0)


def test_grain_grows_with_density_and_is_the_seeds() -> None:
    signal = np.zeros((80, 80), np.float32)
    thin, dense = add_grain(signal, EXPOSURE), add_grain(signal + 3, EXPOSURE)
    assert dense.std() > 2 * thin.std() > 0
    np.testing.assert_array_equal(thin, add_grain(signal, EXPOSURE))
    assert not np.array_equal(thin, add_grain(signal, replace(EXPOSURE, seed=EXPOSURE.seed + 1)))


def test_the_tone_curve_gives_lungs_and_dense_tissue_their_brightness() -> None:
    healthy = np.full((64, 64), 3.5, np.float32)
    lungs = np.zeros((64, 64), np.float32)
    healthy[:, 16:48], lungs[:, 16:48] = 1.2, 1.0
    curve = tone_curve(healthy, lungs, 2.0, EXPOSURE)
    pixels = tone(expose(healthy, 2.0, EXPOSURE), curve)
    assert np.percentile(pixels[lungs > 0], 20) == pytest.approx(EXPOSURE.lung_grey, abs=0.08)
    assert np.percentile(pixels[lungs == 0], 72) == pytest.approx(EXPOSURE.dense_grey, abs=0.08)


def test_without_lungs_the_tone_curve_is_centred_on_the_image() -> None:
    flat = np.full((32, 32), 2.0, np.float32)
    curve = tone_curve(flat, np.zeros_like(flat), 2.0, EXPOSURE)
    assert curve.centre == pytest.approx(float(np.median(expose(flat, 2.0, EXPOSURE))))


def test_the_centre_of_the_curve_is_grey_and_its_black_is_black() -> None:
    curve = ToneCurve(centre=2.0, slope=1.5, black=0.25)
    values = tone(np.array([[0.25, 2.0, 9.0]], np.float32), curve)[0]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert 0.4 < values[1] < 0.5
    assert values[2] > 0.99


def test_shutters_cover_their_share_and_leave_the_stated_field() -> None:
    pixels = np.full((200, 100), 0.5, np.float32)
    shown, box = finish(pixels, Finish(collimated=(0.1, 0.05, 0.0, 0.2), side_letter=""))
    assert box == (20, 0, 190, 80)
    assert shown[:18].max() < 0.01
    assert shown[100, 40] == pytest.approx(0.5)
    assert pixels.min() == 0.5, "the given image is not changed"


def test_the_side_letter_is_on_its_side() -> None:
    pixels = np.zeros((200, 200), np.float32)
    for letter, half in (("L", np.s_[:, 100:]), ("R", np.s_[:, :100])):
        shown, _ = finish(pixels, Finish(side_letter=letter))
        assert shown[half].sum() == pytest.approx(shown.sum())
        assert shown.max() > 0.9


def test_drawn_finishes_vary() -> None:
    plans = [draw_finish(np.random.default_rng(seed)) for seed in range(80)]
    assert {plan.side_letter for plan in plans} == {"L", "R", ""}
    assert 0 < sum(any(plan.collimated) for plan in plans) < 80
    assert any(plan.words for plan in plans)
