"""`lungsev-train align`: trains a spatial transformer to find the aligned frame from lung masks.

At the bedside it reads masks that a network has predicted, so it trains on those too, and on masks that are bent,
eaten and blotched; the target is the frame of the human mask. A network that may turn learns a frame that turns
with the mask; any other learns the upright box around the mask, however it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lungsev.errors import ConfigError, DatasetError
from lungsev.geometry import common_theta, compose, corner_error_px, invert, tilt_deg, warp
from lungsev.networks.build import build_alignment
from lungsev.networks.checkpoint import load_segmentation, save_checkpoint
from lungsev.networks.settings import AlignmentSettings
from lungsev.networks.warp import AffineWarp
from lungsev.preprocessing.alignment import alignment_from_mask, lung_frames_from_mask
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX
from lungsev.train.console import is_main_process, say, warn
from lungsev.train.data import cache as image_cache
from lungsev.train.data.augmentation import (
    DistortionSettings,
    Geometry,
    GeometrySettings,
    apply_distortion,
    draw_distortion,
    draw_geometry,
)
from lungsev.train.data.datasets import load_masked
from lungsev.train.data.loaders import Key, generator_of, make_loader
from lungsev.train.data.masks import shows_both_lungs
from lungsev.train.data.preparation import left_out, ready_images, require_root, split_dataset, upstream_run, usable
from lungsev.train.evaluation.lungs import predict_masks
from lungsev.train.evaluation.overlap import dice
from lungsev.train.fitting.device import device_of, run_batches
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import TrainingModule, fit, seed_weights
from lungsev.train.fitting.losses import aligned_mask_error, corner_distance
from lungsev.train.runs import Run, finished_run
from lungsev.train.settings import DataSettings, LoopSettings, OptimizerSettings, Settings, Share
from lungsev.train.tasks.segmentation import MEASURED, lung_planes

TURNS_DEG = (-20, -10, 0, 10, 20)  # by which masks are turned to measure a network that may turn


class AlignSettings(Settings):
    """`lungsev-train align`. Ranges are BS-Net's: rotation to 25 degrees, scale and shift 10 %."""

    data: DataSettings = DataSettings()
    segmentation: Path | None = None  # run of `segment`; None: the newest
    network: AlignmentSettings = AlignmentSettings()
    # corners: distance of the frame's; mask: mean squared error of the aligned mask, the published code's
    objective: Literal["corners", "mask"] = "corners"
    optimizer: OptimizerSettings = OptimizerSettings(lr=2e-3, weight_decay=1e-4)
    loop: LoopSettings = LoopSettings(epochs=60, batch_size=16, ema=0.99)
    geometry: GeometrySettings = GeometrySettings(rotation_deg=25, scale=0.2, shift=0.1, shear=0.05, flip=0.5)
    distortion: DistortionSettings = DistortionSettings(p=0.2, strength=0.04)
    predicted: Share = 0.6  # share of items that show the mask a network drew instead of the human one
    blotch: Share = 0.3  # share of items with a piece bitten out of the mask or added to it


@dataclass(frozen=True)
class Alignable:
    """An image with both lungs: human labels [S, S], predicted mask [C, M, M], theta of the labels."""

    name: str
    labels: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.float32]
    theta: npt.NDArray[np.float64]


class AlignmentMasks:
    """Masks moved about, with the frame that moves along."""

    def __init__(self, images: Sequence[Alignable], settings: AlignSettings, augmented: bool) -> None:
        self.images, self.settings, self.augmented = list(images), settings, augmented

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Mask float32 [C, M, M]; theta float32 [2, 3] or [2, 2, 3]; index.

        The objective `mask` needs the human mask in its frame too: aligned, float32 [1, A, A].
        """
        image = self.images[key[1]]
        mask, theta, flip = image.predicted, image.theta, False
        if self.augmented:
            mask, theta, flip = self._moved(image, generator_of(self.settings.loop.seed, key))
        item = {
            "mask": torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32)),
            "theta": torch.from_numpy(theta.astype(np.float32)),
            "index": key[1],
        }
        if self.settings.objective == "mask":
            frame = compose(image.theta, Geometry(flip=flip).matrix())
            aligned = warp((image.labels > 0).astype(np.float32), frame, aligned_px(self.settings.network))
            item["aligned"] = torch.from_numpy(aligned)[None]
        return item

    def _moved(
        self, image: Alignable, generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], bool]:
        settings, side = self.settings, image.predicted.shape[-1]
        shows_predicted = generator.random() < settings.predicted
        geometry = draw_geometry(settings.geometry, generator)
        matrix = geometry.matrix()  # changed canvas -> canvas
        distortion = draw_distortion(settings.distortion, generator)

        def moved(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            found = [apply_distortion(warp(plane, matrix, side), distortion) for plane in planes]
            return np.stack(found[::-1] if geometry.flip else found)

        human = moved(lung_planes(image.labels, len(image.predicted) == 2, side))
        # A network that may not turn learns a frame that is upright whatever the image does: read off the moved mask.
        turns = settings.network.rotation
        theta = frame_moved_along(image.theta, geometry) if turns else frame_of(human, settings.network)
        mask = moved(image.predicted) if shows_predicted else human
        if generator.random() < settings.blotch:
            mask = blotched(mask, generator)
        return mask, theta, geometry.flip


def frame_moved_along(theta: npt.NDArray[np.float64], geometry: Geometry) -> npt.NDArray[np.float64]:
    """Return the frame [2, 3] of a changed image: it shows what `theta` showed, flipped if the image was."""
    flip = Geometry(flip=geometry.flip).matrix()
    return compose(compose(invert(geometry.matrix()), theta), flip)


def frame_of(lungs: npt.NDArray[Any], network: AlignmentSettings) -> npt.NDArray[np.float64]:
    """Return the frame that a network is to find: of the lungs [C, M, M], or of labels [S, S] (1 right, 2 left)."""
    if network.frames == "common":
        return alignment_from_mask(lungs if lungs.ndim == 2 else lungs.max(axis=0))
    if lungs.ndim == 3:
        lungs = np.select([plane >= 0.5 for plane in lungs], [1, 2])
    return lung_frames_from_mask(lungs)


def aligned_px(network: AlignmentSettings) -> int:
    """Return the side at which the objective `mask` compares."""
    return 2 * network.input_px


def blotched(mask: npt.NDArray[np.float32], generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Bite a round piece out of a mask [C, M, M] or stick one on near it, as a network does over a device or bowel gas.

    It is bitten out of or stuck on one lung where the mask has both apart.
    """
    side = mask.shape[-1]
    bitten = np.array(mask, dtype=np.float32)
    plane = bitten[int(generator.integers(len(bitten)))] if len(bitten) > 1 else bitten[0]
    inside = np.argwhere(plane > 0.5)
    if not len(inside):
        return bitten
    y, x = inside[generator.integers(len(inside))] + generator.integers(-side // 16, side // 16 + 1, 2)
    radius = int(generator.integers(max(2, side // 40), max(3, side // 10)))
    cv2.circle(plane, (int(x), int(y)), radius, float(generator.random() < 0.5), -1)
    return bitten


class AlignmentModule(TrainingModule):
    """Learns the frame from masks, by its corners or by what it shows."""

    def __init__(self, network: nn.Module, settings: AlignSettings) -> None:
        super().__init__(network, settings.optimizer, settings.loop)
        self.warp = AffineWarp(aligned_px(settings.network)) if settings.objective == "mask" else None

    def loss_of(self, batch: dict[str, Any], network: nn.Module, part: str) -> Tensor:
        """Return the mean distance of the corners in frame half-sides, or the error of the aligned mask."""
        theta = network(batch["mask"])
        distance = corner_distance(theta, batch["theta"])
        self.log_number(f"{part}/corner_px", distance.detach().mean() * CANVAS_SIZE_PX / 2, batch)
        if self.warp is None:
            return distance.mean()
        return aligned_mask_error(self.warp(batch["mask"].amax(dim=1, keepdim=True), theta), batch["aligned"])


def resolve(settings: AlignSettings) -> AlignSettings:
    """Settings with the run they build on named, so that a resumed run builds on the same."""
    return settings.model_copy(update={"segmentation": upstream_run(settings.segmentation, "segment")})


def run_alignment(settings: AlignSettings, run: Run) -> dict[str, Any]:
    """Train and measure in canvas pixels on the images held back; network.pt holds the segmentation too.

    Raises:
        ConfigError: There is no segmentation run.
        DatasetError: The folder is no dataset of lung masks, or too few images show both lungs.
    """
    source = finished_run(upstream_run(settings.segmentation, "segment"))
    segmentation, segmentation_settings = load_segmentation(source.path)
    segmentation.to(device_of(settings.loop.accelerator))
    dataset = load_masked(require_root(settings.data), settings.data.layout)
    for problem in dataset.problems:
        warn(problem)
    readable, prepared = ready_images(dataset.images, settings.data)
    images = usable(readable, prepared, settings.data)
    if settings.network.frames == "lungs" and not segmentation_settings.sides:
        raise ConfigError(
            f"network.frames: lungs needs a mask of each lung, and {source.path} was trained for one of both; "
            "train the segmentation with network.sides: true"
        )
    side, read = segmentation_settings.size_px, 2 * settings.network.input_px
    if side % read:
        raise ConfigError(
            f"network.input_px: {settings.network.input_px} reads masks of a multiple of {read} per side, found {side} "
            f"of {source.path}; choose another one, or another size_px of the segmentation"
        )
    named = [(image.name, prepared[image.name]) for image in readable]
    ready = alignable(named, segmentation, segmentation_settings.size_px, settings.network)
    if len(ready) < len(readable):
        warn(f"{len(readable) - len(ready)} images have no two lungs in their mask and were left out")
    if not ready:
        raise DatasetError(f"no mask of {dataset.root} shows both lungs; nothing to align by")
    split = split_dataset([image for image in images if image.name in ready], settings.data.split, run)
    parts = {part: [ready[name] for name in names] for part, names in split.parts.items()}
    parts["held_out"] = [ready[image.name] for image in left_out(readable, images) if image.name in ready]
    say(f"Aligning {len(parts['train'])} masks of {dataset.name} ({split.protocol}), run {run.path}")
    seed_weights(settings.loop.seed)
    best = fit(AlignmentModule(build_alignment(settings.network), settings), run, *_loaders(parts, settings))
    if not is_main_process():
        return {}
    metrics = {
        "task": "alignment",
        "data": [dataset.name],
        "split": {"protocol": split.protocol, "sha256": split.sha256},
        "segmentation": str(source.path),
        **{part: measure(best, parts[part], settings.network.rotation) for part in MEASURED if parts.get(part)},
    }
    save_checkpoint(run.path, settings.network, best, segmentation_settings, segmentation)
    finish_run(run, metrics)
    return metrics


def alignable(
    images: Sequence[tuple[str, image_cache.CachedImage]],
    segmentation: nn.Module,
    side_px: int,
    network: AlignmentSettings,
) -> dict[str, Alignable]:
    """Images whose human mask shows both lungs, by name."""
    masks = predict_masks(segmentation, [image for _, image in images], side_px)
    ready = {}
    for (name, image), mask in zip(images, masks, strict=True):
        labels = image.mask()
        if shows_both_lungs(labels):
            ready[name] = Alignable(name, labels, mask, frame_of(labels, network))
    return ready


def measure(network: nn.Module, images: Sequence[Alignable], turned: bool = False) -> dict[str, Any]:
    """Corner error in pixels of the 512 canvas, from predicted masks, and the overlap of the two frames' boxes.

    Frames of both lungs are measured by their own corners, and by those of the box around both (`common_corner_px`).
    With `turned` also `turned_deg`: the mean angle that is found for the masks turned by each of some angles.
    """
    thetas = _thetas(network, images, lambda mask: mask)
    errors = [corner_error_px(found, image.theta, CANVAS_SIZE_PX) for found, image in zip(thetas, images, strict=True)]
    both = [
        corner_error_px(common_theta(found), common_theta(image.theta), CANVAS_SIZE_PX)
        for found, image in zip(thetas, images, strict=True)
    ]
    left_right = [_sides_kept(found, image.labels) for found, image in zip(thetas, images, strict=True)]
    return {
        "images": len(images),
        "corner_px": float(np.mean(errors)),
        "corner_px_median": float(np.median(errors)),
        "corner_px_max": float(np.max(errors)),
        **({"common_corner_px": float(np.mean(both))} if thetas.ndim == 4 else {}),
        "side_overlap": float(np.mean(left_right)),
        **({"turned_deg": {str(turn): found_tilt_deg(network, images, turn) for turn in TURNS_DEG}} if turned else {}),
    }


def found_tilt_deg(network: nn.Module, images: Sequence[Alignable], turn_deg: float) -> float:
    """Return the mean tilt, in degrees, of the frames found for predicted masks that were turned clockwise by one."""
    back = Geometry(rotation_deg=-turn_deg).matrix()  # turned canvas -> canvas
    thetas = _thetas(network, images, lambda mask: np.stack([warp(plane, back, plane.shape[0]) for plane in mask]))
    return float(np.mean([tilt_deg(theta) for theta in thetas]))


def _thetas(
    network: nn.Module,
    images: Sequence[Alignable],
    change: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float64]:
    """Return theta [N, 2, 3] or [N, 2, 2, 3] of predicted masks after a change."""
    found = run_batches(
        network,
        images,
        lambda chunk: np.stack([change(image.predicted) for image in chunk]),
        lambda masks: {"thetas": network(masks)},
        batch=len(images),
    )
    return np.asarray(found["thetas"], dtype=np.float64)


def _sides_kept(theta: npt.NDArray[np.float64], labels: npt.NDArray[np.uint8]) -> float:
    """Dice of the patient's right lung with the lung that falls into the right half of the frame."""
    aligned = [warp((labels == label).astype(np.float32), theta, 128) > 0.5 for label in (1, 2)]
    lungs = aligned[0] | aligned[1]
    in_right_half = lungs & (np.arange(128)[None, :] < 64)
    return dice(aligned[0], in_right_half)


def _loaders(parts: dict[str, list[Alignable]], settings: AlignSettings) -> tuple[Any, Any]:
    loop = settings.loop
    # Masks are small and in memory: worker processes would only copy them.
    train = AlignmentMasks(parts["train"], settings, augmented=True)
    train_loader = make_loader(train, loop.batch_size, True, loop.seed, 0, loop.accumulate)
    if not parts.get("validation"):
        return train_loader, None
    held = AlignmentMasks(parts["validation"], settings, augmented=False)
    return train_loader, make_loader(held, loop.batch_size, False, loop.seed, 0, loop.accumulate)
