"""Drawn changes can be repeated, keep an image an image, and keep labels with what they label."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional

from lungsev.geometry import compose, warp
from lungsev.train.configs import built_in_or_path, read_config
from lungsev.train.data.augmentation import (
    Distortion,
    DistortionSettings,
    Geometry,
    GeometrySettings,
    Intensity,
    IntensitySettings,
    apply_distortion,
    apply_intensity,
    draw_distortion,
    draw_geometry,
    draw_intensity,
    swap_sides,
)
from lungsev.train.data.masks import shows_both_lungs

STRONG = IntensitySettings(p=1, brightness=0.4, contrast=0.6, gamma=0.5, noise=0.1, shade=0.5, erase=1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_an_image_stays_between_zero_and_one_and_the_same_draw_gives_the_same_image(seed: int) -> None:
    image = np.random.default_rng(0).random((24, 32)).astype(np.float32)
    draws = [draw_intensity(STRONG, np.random.default_rng(seed)) for _ in range(2)]
    first, second = (apply_intensity(image, draw) for draw in draws)
    assert draws[0] == draws[1]
    assert np.array_equal(first, second)
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1


def test_nothing_drawn_changes_nothing() -> None:
    image = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    assert np.allclose(apply_intensity(image, Intensity()), image, atol=1e-6)
    assert np.allclose(Geometry().matrix(), np.eye(3)[:2])
    assert apply_distortion(image, Distortion()) is image
    off = draw_geometry(GeometrySettings(p=0, flip=0), np.random.default_rng(0))
    assert off == Geometry()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_drawn_geometry_stays_in_its_ranges(seed: int) -> None:
    ranges = GeometrySettings(p=1, rotation_deg=10, scale=0.1, shift=0.05)
    draw = draw_geometry(ranges, np.random.default_rng(seed))
    assert abs(draw.rotation_deg) <= 10
    assert all(1 / 1.1 - 1e-9 <= scale <= 1.1 + 1e-9 for scale in draw.scale_xy)
    assert all(abs(shift) <= 0.05 for shift in draw.shift_xy)


def test_a_flip_mirrors_the_aligned_crop() -> None:
    image = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    theta = np.eye(3)[:2]
    plain = warp(image, theta, 32)
    flipped = warp(image, compose(theta, Geometry(flip=True).matrix()), 32)
    assert np.allclose(flipped, plain[:, ::-1], atol=1e-3)


def test_a_smooth_distortion_leaves_the_border() -> None:
    image = np.ones((40, 40), np.float32)
    draw = draw_distortion(DistortionSettings(p=1.0, strength=0.05), np.random.default_rng(1))
    assert draw.nodes is not None
    assert np.abs(draw.nodes).max() > 0
    assert apply_distortion(image, draw)[20, 20] == pytest.approx(1.0)


def test_sides_are_swapped_with_a_flipped_mask() -> None:
    assert swap_sides(np.array([[0, 1, 2]], np.uint8)).tolist() == [[0, 2, 1]]


def test_a_mask_without_both_lungs_is_no_frame_for_two() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 10:30] = 1
    assert not shows_both_lungs(mask)
    mask[10:40, 34:54] = 2
    assert shows_both_lungs(mask)


def shares(changed: list[dict[str, bool]]) -> dict[str, float]:
    return {name: float(np.mean([change[name] for change in changed])) for name in changed[0]}


DRAWS = 3000  # four standard errors of a share are then 0.037


def test_the_reference_recipe_makes_each_change_in_eight_images_of_ten_and_stays_in_its_ranges() -> None:
    recipe = read_config(built_in_or_path("brixia/reference"))
    geometry, intensity = GeometrySettings(**recipe["geometry"]), IntensitySettings(**recipe["intensity"])
    generator = np.random.default_rng(7)
    places = [draw_geometry(geometry, generator) for _ in range(DRAWS)]
    exposures = [draw_intensity(intensity, generator) for _ in range(DRAWS)]
    found = shares(
        [
            {
                "rotation": place.rotation_deg != 0,
                "shift": place.shift_xy != (0.0, 0.0),
                "brightness": exposure.brightness != 0,
                "contrast": exposure.contrast != 1,
                "sharpness": exposure.sharpness_factor != 1,
            }
            for place, exposure in zip(places, exposures, strict=True)
        ]
    )
    assert found == {name: pytest.approx(0.8, abs=0.037) for name in found}
    for factors in ([1 + draw.brightness for draw in exposures], [draw.contrast for draw in exposures]):
        assert 0.5 <= min(factors) < 0.51
        assert 1.49 < max(factors) <= 1.5
    assert {draw.sharpness_factor for draw in exposures} == {0.0, 1.0}
    assert 9.9 < max(abs(place.rotation_deg) for place in places) <= 10
    assert 0.0495 < max(abs(share) for place in places for share in place.shift_xy) <= 0.05
    unchanged = Geometry()
    assert all((p.scale_xy, p.shear, p.flip) == (unchanged.scale_xy, unchanged.shear, unchanged.flip) for p in places)
    plain = Intensity()
    assert all((e.gamma, e.blur_px, e.sharpen, e.noise) == (1.0, 0.0, 0.0, 0.0) for e in exposures)
    assert all((e.shade, e.erase_box) == (plain.shade, plain.erase_box) for e in exposures)


def test_a_change_may_have_a_probability_of_its_own() -> None:
    generator = np.random.default_rng(3)
    ranges = GeometrySettings(p=0.5, shear=0.1, probabilities={"rotation": 0.1, "shear": 0.9, "shift": 0.0})
    places = [draw_geometry(ranges, generator) for _ in range(DRAWS)]
    found = shares(
        [
            {
                "rotation": place.rotation_deg != 0,
                "scale": place.scale_xy != (1.0, 1.0),
                "shift": place.shift_xy != (0.0, 0.0),
                "shear": place.shear != 0,
            }
            for place in places
        ]
    )
    assert found == {
        name: pytest.approx(share, abs=0.037)
        for name, share in {"rotation": 0.1, "scale": 0.5, "shift": 0.0, "shear": 0.9}.items()
    }
    own = {"gamma": 0.2, "brightness": 0.9, "shade": 1.0, "sharpness": 0.0}
    exposures = [
        draw_intensity(IntensitySettings(p=0.5, shade=0.2, probabilities=own), generator) for _ in range(DRAWS)
    ]
    found = shares(
        [
            {
                "gamma": draw.gamma != 1,
                "brightness": draw.brightness != 0,
                "contrast": draw.contrast != 1,
                "shade": any(draw.shade),
                "sharpness": draw.blur_px > 0 or draw.sharpen > 0,
                "noise": draw.noise > 0,
            }
            for draw in exposures
        ]
    )
    expected = {**own, "contrast": 0.5, "noise": 0.5}
    assert found == {name: pytest.approx(expected[name], abs=0.037) for name in found}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"blur_px": 0.0, "sharpen": 1.0}, (0.0, 0.6)),
        ({"blur_px": 1.0, "sharpen": 0.0}, (0.6, 0.0)),
        ({"blur_px": 1.0, "sharpen": 1.0}, (0.3, 0.3)),
        ({"blur_px": 1.0, "sharpen": 1.0, "sharpness_factor": 0.0}, (0.2, 0.2)),
        ({"blur_px": 0.0, "sharpen": 0.0}, (0.0, 0.0)),
    ],
)
def test_one_way_alone_to_change_sharpness_has_the_whole_probability(
    given: dict[str, float], expected: tuple[float, float]
) -> None:
    ranges = IntensitySettings(p=0.6, **given)  # type: ignore[arg-type]
    generator = np.random.default_rng(5)
    draws = [draw_intensity(ranges, generator) for _ in range(DRAWS)]
    found = (np.mean([draw.blur_px > 0 for draw in draws]), np.mean([draw.sharpen > 0 for draw in draws]))
    assert found == pytest.approx(expected, abs=0.037)


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_sharpness_brightness_and_contrast_are_torchvisions(factor: float) -> None:
    image = np.random.default_rng(0).random((20, 24)).astype(np.float32)
    tensor = torch.from_numpy(image)[None]
    sharpened = apply_intensity(image, Intensity(sharpness_factor=factor))
    np.testing.assert_allclose(sharpened, functional.adjust_sharpness(tensor, factor)[0], atol=1e-6)
    exposed = apply_intensity(image, Intensity(multiplicative=True, brightness=factor - 1, contrast=factor + 0.25))
    expected = functional.adjust_contrast(functional.adjust_brightness(tensor, factor), factor + 0.25)
    np.testing.assert_allclose(exposed, expected[0], atol=1e-6)
