"""Layers for the dashboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from lungsev.runtime.outputs.screen_images import FilmPng, SeverityMapPng, severity_layer


def test_the_film_is_bare_grey_and_never_enlarged(make_scored, skipped, failed, tmp_path: Path) -> None:
    for scored in (make_scored(), skipped):
        path = FilmPng().write(scored, tmp_path / "film.png")
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture.shape == scored.film.pixels.shape
        np.testing.assert_allclose(picture / 255, scored.film.pixels, atol=0.01)
    assert FilmPng().write(failed, tmp_path / "none.png") is None


def test_the_map_covers_the_zones_and_nothing_else(make_scored) -> None:
    scored = make_scored()
    layer = severity_layer(scored)
    assert max(layer.shape[:2]) == 320
    ratio = 320 / max(scored.film.pixels.shape)
    corners = np.concatenate([np.array(region.polygon) for region in scored.report.scores["brixia"].regions]) * ratio
    ys, xs = np.nonzero(layer[..., 3] > 20)
    low, high = corners.min(axis=0), corners.max(axis=0)
    np.testing.assert_allclose([xs.min(), ys.min()], np.clip(low, 0, None), atol=2.5)
    np.testing.assert_allclose([xs.max() + 1, ys.max() + 1], np.minimum(high, layer.shape[1::-1]), atol=2.5)


def test_the_map_turns_with_the_alignment_and_keeps_up_and_down(make_scored) -> None:
    scored = make_scored()
    values = np.zeros((16, 16), np.float32)
    values[:8, :8] = 3.0  # the patient's right upper zone: the image's upper left
    layer = severity_layer(replace(scored, severity_map={"brixia": values}))
    by_code = {region.code: np.array(region.polygon).mean(axis=0) for region in scored.report.scores["brixia"].regions}
    ratio = 320 / max(scored.film.pixels.shape)
    reds = {code: layer[int(y * ratio), int(x * ratio), 0] for code, (x, y) in by_code.items()}
    assert reds["A"] > 200
    assert max(reds["C"], reds["D"], reds["F"]) < 150


def test_films_without_a_score_have_no_map(skipped, failed, tmp_path: Path) -> None:
    for scored in (skipped, failed):
        assert SeverityMapPng().write(scored, tmp_path / "map.png") is None
