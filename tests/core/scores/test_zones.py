"""Zones that follow each lung: how much of a zone is lung, and what is drawn."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from lungsev.geometry import IDENTITY_THETA, CanvasFrame, box_polygon
from lungsev.schemes import Region, load_scheme
from lungsev.scores.zones import LEAST_LUNG_SHARE, ZoneOutline, outline_zone

FRAME = CanvasFrame(rows=512, columns=512, size_px=512, scale=1.0, offset_px=(0.0, 0.0))
BRIXIA = {region.code: region for region in load_scheme("brixia").regions}
WHOLE = load_scheme("extent").regions[0]
SIDE = 128


def lung_frame(box: tuple[float, float, float, float], lung: int) -> np.ndarray:
    """theta of a lung whose box is (y0, x0, y1, x1) in fractions of the canvas."""
    y0, x0, y1, x1 = (2 * edge - 1 for edge in box)
    # Its half of the aligned square, x from -1 to 0 or from 0 to 1, lies on the box.
    left, right = (-1.0, 0.0) if lung == 0 else (0.0, 1.0)
    a = (x1 - x0) / (right - left)
    return np.array([[a, 0.0, x0 - a * left], [0.0, (y1 - y0) / 2, (y0 + y1) / 2]])


RIGHT, LEFT = (0.1, 0.125, 0.9, 0.4375), (0.2, 0.5625, 0.8, 0.875)
THETA = np.stack([lung_frame(RIGHT, 0), lung_frame(LEFT, 1)])


def ellipses() -> np.ndarray:
    """Masks [2, M, M] of two elliptical lungs that fill their boxes."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    masks = []
    for y0, x0, y1, x1 in (RIGHT, LEFT):
        distance = np.hypot((y - (y0 + y1) / 2) / (y1 - y0) * 2, (x - (x0 + x1) / 2) / (x1 - x0) * 2)
        masks.append(1 / (1 + np.exp((distance - 1) * 40)))
    return np.stack(masks).astype(np.float32)


def brixia_zones(mask: np.ndarray, theta: np.ndarray = THETA) -> dict[str, ZoneOutline]:
    return {code: outline_zone(region, theta, mask, FRAME) for code, region in BRIXIA.items()}


def filled(polygon: np.ndarray) -> np.ndarray:
    """Pixels of an image, at four times its size, whose centre is in the polygon."""
    canvas = np.zeros((2048, 2048), np.uint8)
    cv2.fillPoly(canvas, [np.round(polygon * 4 * 16 - 8).astype(np.int32)], 1, shift=4)
    return canvas > 0


def test_one_frame_for_both_lungs_gives_rectangles_that_nothing_was_measured_in() -> None:
    zone = outline_zone(BRIXIA["C"], IDENTITY_THETA, ellipses(), FRAME)
    np.testing.assert_allclose(zone.polygon, box_polygon(BRIXIA["C"].zone, IDENTITY_THETA, FRAME))
    assert zone.lung_share is None
    assert zone.is_assessable


def test_zones_fill_the_lungs_and_do_not_overlap() -> None:
    mask = ellipses()
    zones = {code: filled(zone.polygon) for code, zone in brixia_zones(mask).items()}
    lungs = cv2.resize(mask.max(axis=0), (2048, 2048), interpolation=cv2.INTER_LINEAR) >= 0.5
    covered = np.zeros_like(lungs)
    for one, other in combinations(zones, 2):
        shared = int((zones[one] & zones[other]).sum())
        assert shared <= 4 * 512, f"{one} and {other} share no more than the line between them, found {shared}"
    for zone in zones.values():
        covered |= zone
    assert (covered & lungs).sum() / (covered | lungs).sum() > 0.98


def test_a_zone_is_a_third_of_its_own_lung() -> None:
    for code, (lung, third) in {"A": (RIGHT, 0), "C": (RIGHT, 2), "D": (LEFT, 0), "E": (LEFT, 1)}.items():
        polygon = brixia_zones(ellipses())[code].polygon
        height = (lung[2] - lung[0]) / 3
        top, bottom = 512 * (lung[0] + third * height), 512 * (lung[0] + (third + 1) * height)
        assert polygon[:, 1].min() == pytest.approx(top, abs=3), code
        assert polygon[:, 1].max() == pytest.approx(bottom, abs=3), code
        assert polygon[:, 0].min() >= 512 * lung[1] - 0.01
        assert polygon[:, 0].max() <= 512 * lung[3] + 0.01


def test_an_outline_has_a_modest_number_of_points() -> None:
    assert all(4 < len(zone.polygon) < 60 for zone in brixia_zones(ellipses()).values())


@pytest.mark.parametrize("share", [0.0, 0.12, 0.18, 0.22, 0.5, 1.0])
def test_the_share_of_lung_decides_whether_a_zone_is_assessable(share: float) -> None:
    mask = np.zeros((2, SIDE, SIDE), np.float32)
    y0, _, y1, _ = RIGHT
    top = y0 + (y1 - y0) * 2 / 3
    bottom = top + share * (y1 - top)
    rows = (np.arange(SIDE) + 0.5) / SIDE
    mask[0] = ((rows >= y0) & (rows < bottom)).astype(np.float32)[:, None]
    zone = brixia_zones(mask)["C"]
    assert zone.lung_share == pytest.approx(share, abs=0.03)
    assert zone.is_assessable == (share >= LEAST_LUNG_SHARE)
    assert zone.polygon[:, 1].max() == pytest.approx(512 * (bottom if share else y1), abs=5)


def test_the_other_lung_does_not_count() -> None:
    mask = ellipses()
    mask[0] = 0
    zones = brixia_zones(mask)
    assert [zones[code].lung_share for code in "ABC"] == [0, 0, 0]
    np.testing.assert_allclose(zones["A"].polygon, box_polygon(BRIXIA["A"].zone, THETA[0], FRAME))
    assert min(zones[code].lung_share or 0 for code in "DEF") > 0.5


def test_one_mask_serves_both_lungs() -> None:
    both = ellipses().max(axis=0, keepdims=True)
    for code, zone in brixia_zones(both).items():
        assert zone.lung_share == pytest.approx(brixia_zones(ellipses())[code].lung_share, abs=1e-6)


def test_a_speck_beside_the_lung_is_not_drawn() -> None:
    mask = ellipses()
    plain = brixia_zones(mask)["A"].polygon
    mask[0, 13:16, 16:19] = 1.0  # the upper outer corner of the zone
    np.testing.assert_allclose(brixia_zones(mask)["A"].polygon, plain)


def test_a_region_of_both_lungs_is_drawn_around_both() -> None:
    zone = outline_zone(WHOLE, THETA, ellipses(), FRAME)
    assert zone.lung_share == pytest.approx(np.pi / 4, abs=0.02)
    assert zone.polygon[:, 0].min() == pytest.approx(512 * RIGHT[1], abs=4)
    assert zone.polygon[:, 0].max() == pytest.approx(512 * LEFT[3], abs=4)


def test_zones_are_rectangles_without_a_mask_or_with_an_empty_one() -> None:
    expected = box_polygon(BRIXIA["F"].zone, THETA[1], FRAME)
    for mask in (None, np.zeros((1, SIDE, SIDE), np.float32)):
        np.testing.assert_allclose(outline_zone(BRIXIA["F"], THETA, mask, FRAME).polygon, expected)


def test_zones_of_a_tilted_lung_are_tilted_and_share_an_edge() -> None:
    turn = np.deg2rad(12)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    theta = THETA.copy()
    theta[0, :, :2] = rotation @ theta[0, :, :2]
    full = np.ones((1, SIDE, SIDE), np.float32)
    upper, middle = (outline_zone(BRIXIA[code], theta, full, FRAME).polygon for code in "AB")
    shared = {tuple(point) for point in upper.round(1)} & {tuple(point) for point in middle.round(1)}
    assert len(shared) == 2
    (x0, y0), (x1, y1) = sorted(shared)
    assert np.rad2deg(np.arctan2(y1 - y0, x1 - x0)) == pytest.approx(12, abs=0.5)


def test_zones_are_mapped_to_the_pixels_of_the_image() -> None:
    smaller = CanvasFrame(rows=2000, columns=1000, size_px=512, scale=0.256, offset_px=(128.0, 0.0))
    region = Region(code="X", name="x", side="right", box=(0, 0, 1, 0.5))
    plain = outline_zone(region, THETA, ellipses(), FRAME).polygon
    mapped = outline_zone(region, THETA, ellipses(), smaller).polygon
    np.testing.assert_allclose(mapped, (plain - [128, 0]) / 0.256, rtol=1e-6)
