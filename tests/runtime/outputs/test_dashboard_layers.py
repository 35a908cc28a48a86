"""Layers for the dashboard."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from lungsev.drawing.radiograph_view import lung_outlines
from lungsev.reading.values.brightness import Brightness
from lungsev.runtime.outputs.dashboard_layers import encode_image, encode_severity_map, severity_layer


def test_the_image_is_bare_grey_and_never_enlarged(make_scored, skipped, failed) -> None:
    for scored in (make_scored(), skipped):
        picture = cv2.imdecode(np.frombuffer(encode_image(scored) or b"", np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == scored.radiograph.pixels.shape
        np.testing.assert_allclose(picture / 255, scored.radiograph.pixels, atol=0.01)
    assert encode_image(failed) is None
    black = Brightness(np.zeros((700, 1400), np.float32))
    large = replace(make_scored(), radiograph=replace(scored.radiograph, brightness=black))
    picture = cv2.imdecode(np.frombuffer(encode_image(large) or b"", np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (640, 1280)


def test_the_map_stays_on_the_lungs_and_lets_the_image_through(make_scored) -> None:
    scored = make_scored()
    worst = replace(scored, severity_map={"brixia": np.full((16, 16), 3.0, np.float32)})
    alpha = severity_layer(worst)[..., 3]
    assert max(alpha.shape) == 320
    assert 100 < alpha.max() < 180
    outlines = lung_outlines(scored.lung_mask, scored.canvas.frame)
    ratio = 320 / max(scored.radiograph.pixels.shape)
    hulls = cv2.fillPoly(np.zeros_like(alpha), [cv2.convexHull((o * ratio).astype(np.int32)) for o in outlines], 1)
    assert (alpha[hulls > 0] > 20).mean() > 0.9
    assert alpha[cv2.dilate(hulls, np.ones((25, 25), np.uint8)) == 0].max() == 0
    clear = replace(scored, severity_map={"brixia": np.zeros((16, 16), np.float32)})
    assert severity_layer(clear)[..., 3].max() == 0


def test_without_an_outline_the_map_covers_the_zones_and_nothing_else(make_scored) -> None:
    values = {"brixia": np.full((16, 16), 3.0, np.float32)}
    scored = replace(make_scored(), lung_mask=None, severity_map=values)
    layer = severity_layer(scored)
    ratio = 320 / max(scored.radiograph.pixels.shape)
    corners = np.concatenate([np.array(region.polygon) for region in scored.report.scores["brixia"].regions]) * ratio
    ys, xs = np.nonzero(layer[..., 3] > 20)
    low, high = corners.min(axis=0), corners.max(axis=0)
    np.testing.assert_allclose([xs.min(), ys.min()], np.clip(low, 0, None), atol=2.5)
    np.testing.assert_allclose([xs.max() + 1, ys.max() + 1], np.minimum(high, layer.shape[1::-1]), atol=2.5)


def test_the_map_turns_with_the_alignment_and_keeps_up_and_down(make_scored) -> None:
    scored = replace(make_scored(), lung_mask=None)
    values = np.zeros((16, 16), np.float32)
    values[:8, :8] = 3.0  # the patient's right upper zone: the image's upper left
    alpha = severity_layer(replace(scored, severity_map={"brixia": values}))[..., 3]
    by_code = {region.code: np.array(region.polygon).mean(axis=0) for region in scored.report.scores["brixia"].regions}
    ratio = 320 / max(scored.radiograph.pixels.shape)
    covers = {code: alpha[int(y * ratio), int(x * ratio)] for code, (x, y) in by_code.items()}
    assert covers["A"] > 120
    assert max(covers["C"], covers["D"], covers["F"]) < 20


def test_images_without_a_score_have_no_map(make_scored, skipped, failed) -> None:
    assert [encode_severity_map(scored) for scored in (skipped, failed)] == [None, None]
    assert (encode_severity_map(make_scored()) or b"").startswith(b"\x89PNG")


def test_the_map_of_each_lung_lies_in_its_own_frame(make_scored) -> None:
    scored = replace(make_scored(), lung_mask=None)
    values = np.zeros((16, 16), np.float32)
    values[8:, :8] = 3.0  # the lower half of the patient's right lung
    frames = (((0.4, 0.0, -0.2), (0.0, 0.4, -0.3)), ((0.4, 0.0, 0.2), (0.0, 0.4, 0.3)))
    report = replace(scored.report, alignment=frames)
    alpha = severity_layer(replace(scored, report=report, severity_map={"brixia": values}))[..., 3]
    frame, ratio = scored.canvas.frame, 320 / max(scored.radiograph.pixels.shape)

    def at(x: float, y: float) -> int:
        """Alpha at a normalised canvas point."""
        column, row = frame.to_image(np.array([x + 1, y + 1]) / 2 * frame.size_px) * ratio
        return int(alpha[round(row), round(column)])

    assert at(-0.4, -0.1) > 120, "the lower half of the right frame"
    assert max(at(-0.4, -0.5), at(0.4, 0.1), at(0.4, 0.5), at(-0.4, 0.3)) < 20
