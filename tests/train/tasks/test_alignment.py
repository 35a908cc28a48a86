"""What the alignment learns: an upright frame of any mask, or one that turns with the mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lungsev.geometry import IDENTITY_THETA, compose, homogeneous, tilt_deg, warp
from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.build import build_alignment
from lungsev.networks.settings import AlignmentSettings
from lungsev.networks.warp import AffineWarp
from lungsev.preprocessing.alignment import alignment_from_mask, lung_frames_from_mask
from lungsev.train.data.augmentation import DistortionSettings, Geometry, GeometrySettings
from lungsev.train.fitting.optimization import learning_rate_factor, make_optimizer
from lungsev.train.settings import OptimizerSettings
from lungsev.train.tasks.alignment import (
    Alignable,
    AlignmentMasks,
    AlignmentModule,
    AlignSettings,
    aligned_px,
    found_tilt_deg,
    frame_moved_along,
    measure,
)
from lungsev.train.tasks.segmentation import lung_planes

SIDE = 64
PLAIN = {"distortion": DistortionSettings(p=0.0), "predicted": 0.0, "blotch": 0.0}


def drawn_lungs(seed: int) -> npt.NDArray[np.uint8]:
    """Two upright lungs of a size and place of their own, the right one wider and shorter: labels [128, 128]."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((128, 128), np.uint8)
    x, y = generator.integers(-5, 6, 2)
    wide, high = generator.uniform(0.9, 1.1, 2)
    for label, centre, radius in ((1, (45, 62), (14, 30)), (2, (83, 66), (12, 33))):
        place = (int(centre[0] + x), int(centre[1] + y))
        cv2.ellipse(labels, place, (int(radius[0] * wide), int(radius[1] * high)), 0, 0, 360, label, -1)
    return labels


def drawn_images(count: int) -> list[Alignable]:
    labels = [drawn_lungs(seed) for seed in range(count)]
    small = [cv2.resize((mask > 0).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for mask in labels]
    return [
        Alignable(str(k), mask, predicted[None], alignment_from_mask(mask))
        for k, (mask, predicted) in enumerate(zip(labels, small, strict=True))
    ]


def settings_of(rotation: bool, **changes: object) -> AlignSettings:
    network = AlignmentSettings(input_px=16, width=8, rotation=rotation)
    return AlignSettings(network=network, **{**PLAIN, **changes})  # type: ignore[arg-type]


GEOMETRIES = st.builds(
    Geometry,
    rotation_deg=st.floats(-30, 30),
    scale_xy=st.tuples(st.floats(0.8, 1.25), st.floats(0.8, 1.25)),
    shift_xy=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    shear=st.floats(-0.1, 0.1),
    flip=st.booleans(),
)


@examples(max_examples=30, deadline=None)
@given(GEOMETRIES)
def test_a_frame_moved_along_shows_of_the_changed_image_what_it_showed_before(geometry: Geometry) -> None:
    theta = np.array([[0.7, 0.0, 0.05], [0.0, 0.8, -0.1]])
    moved = frame_moved_along(theta, geometry)
    mirror = np.diag([-1.0 if geometry.flip else 1.0, 1.0, 1.0])
    expected = np.linalg.inv(homogeneous(geometry.matrix())) @ homogeneous(theta) @ mirror
    np.testing.assert_allclose(homogeneous(moved), expected, atol=1e-12)
    image = cv2.GaussianBlur(np.random.default_rng(0).random((128, 128)).astype(np.float32), (0, 0), 4)
    inner = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])  # so that nothing comes from outside of the changed image
    before = warp(image, compose(theta, compose(Geometry(flip=geometry.flip).matrix(), inner)), 32)
    after = warp(warp(image, geometry.matrix(), 256), compose(moved, inner), 32)
    assert np.abs(before - after).max() < 0.03


def test_a_turned_mask_turns_the_target_of_a_network_that_may_turn_and_of_no_other() -> None:
    images = drawn_images(3)
    geometry = GeometrySettings(p=1.0, rotation_deg=25, scale=0.1, shift=0.05, shear=0.0, flip=0.0)
    turning, upright = (AlignmentMasks(images, settings_of(may, geometry=geometry), True) for may in (True, False))
    for index in range(3):
        item = turning[0, index]
        theta = item["theta"].numpy().astype(np.float64)
        turned = abs(tilt_deg(theta))
        assert 0.5 < turned < 27
        shown = warp(item["mask"][0].numpy(), theta, 48)
        human = warp((images[index].labels > 0).astype(np.float32), images[index].theta, 48)
        assert np.abs(shown - human).mean() < 0.08
        other = upright[0, index]
        assert torch.equal(other["mask"], item["mask"])
        np.testing.assert_allclose(other["theta"].numpy(), alignment_from_mask(other["mask"][0].numpy()), atol=1e-6)
        assert tilt_deg(other["theta"].numpy()) == 0


def test_the_objective_on_masks_is_least_for_the_frame_that_moved_along() -> None:
    images = drawn_images(2)
    geometry = GeometrySettings(p=1.0, rotation_deg=20, scale=0.1, shift=0.05, flip=1.0)
    settings = settings_of(True, objective="mask", geometry=geometry)
    item = AlignmentMasks(images, settings, True)[0, 1]
    assert item["aligned"].shape == (1, 32, 32) == (1, aligned_px(settings.network), 32)
    module = AlignmentModule(build_alignment(settings.network), settings)
    module.log_number = lambda *_: None  # type: ignore[method-assign, assignment]
    batch = {key: item[key][None] for key in ("mask", "theta", "aligned")}
    losses = {}
    for name, theta in (("moved", batch["theta"]), ("identity", torch.from_numpy(IDENTITY_THETA).float()[None])):
        losses[name] = module.loss_of(batch, lambda mask, theta=theta: theta, "train").item()  # type: ignore[arg-type]
        expected = (AffineWarp(32)(batch["mask"], theta) - batch["aligned"]).square().mean()
        assert losses[name] == pytest.approx(expected.item())
    assert losses["moved"] < 0.02 < 0.1 < losses["identity"]


def test_frames_of_both_lungs_are_read_off_the_masks_that_were_moved() -> None:
    network = AlignmentSettings(input_px=16, width=8, frames="lungs")
    images = [
        Alignable(image.name, image.labels, lung_planes(image.labels, True, SIDE), lung_frames_from_mask(image.labels))
        for image in drawn_images(2)
    ]
    moves = GeometrySettings(p=1.0, rotation_deg=5, scale=0.1, shift=0.05, flip=0.5)
    masks = AlignmentMasks(images, AlignSettings(network=network, **{**PLAIN, "geometry": moves}), True)  # type: ignore[arg-type]
    for step in range(4):
        item = masks[step, step % 2]
        assert item["mask"].shape == (2, SIDE, SIDE)
        labels = np.select([plane >= 0.5 for plane in item["mask"].numpy()], [1, 2])
        np.testing.assert_allclose(item["theta"].numpy(), lung_frames_from_mask(labels), atol=1e-6)
        columns = [np.flatnonzero(plane.any(axis=0)).mean() for plane in item["mask"].numpy()]
        assert columns[0] < columns[1]  # flipped or not, the lung on the left of the image comes first


def trained(settings: AlignSettings, images: list[Alignable], steps: int) -> AlignmentNetwork:
    """Train for some steps of sixteen masks, as the command does."""
    torch.manual_seed(0)
    network = build_alignment(settings.network)
    module = AlignmentModule(network, settings).train()
    module.log_number = lambda *_: None  # type: ignore[method-assign, assignment]
    optimizer = make_optimizer(network.parameters(), (), settings.optimizer)
    masks = AlignmentMasks(images, settings, augmented=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.optimizer.lr * learning_rate_factor(step, steps, 5, "cosine")
        items = [masks[step, index % len(images)] for index in range(16)]
        batch = {key: torch.stack([item[key] for item in items]) for key in items[0] if key != "index"}
        optimizer.zero_grad()
        module.loss_of(batch, network, "train").backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize(
    ("kind", "objective", "steps", "rate"), [("edges", "corners", 100, 5e-3), ("convolutions", "mask", 150, 3e-3)]
)
def test_a_network_that_may_turn_finds_by_how_much_a_mask_was_turned(
    kind: str, objective: str, steps: int, rate: float
) -> None:
    images = drawn_images(16)
    settings = AlignSettings(
        network=AlignmentSettings(kind=kind, input_px=16, width=8, rotation=True),  # type: ignore[arg-type]
        objective=objective,  # type: ignore[arg-type]
        geometry=GeometrySettings(p=1.0, rotation_deg=30, scale=0.1, shift=0.05, shear=0.0, flip=0.0),
        optimizer=OptimizerSettings(lr=rate, weight_decay=0.0),
        **PLAIN,  # type: ignore[arg-type]
    )
    found = measure(trained(settings, images, steps), images, turned=True)["turned_deg"]
    for turn in (-20, -10, 0, 10, 20):
        assert found[str(turn)] == pytest.approx(turn, abs=5)


def test_a_network_that_may_not_turn_stays_upright() -> None:
    images = drawn_images(2)
    upright = build_alignment(AlignmentSettings(input_px=16, width=8)).eval()
    assert found_tilt_deg(upright, images, 20) == 0
    assert "turned_deg" not in measure(upright, images)
