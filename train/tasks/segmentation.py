"""`lungsev-train segment`: trains a network to find the lungs, and a small head to check the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lungsev.errors import ConfigError
from lungsev.geometry import warp
from lungsev.networks.build import build_segmentation
from lungsev.networks.checkpoint import load_segmentation, save_checkpoint
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.settings import SegmentationSettings
from lungsev.phantom import NON_CHEST_KINDS, make_non_chest
from lungsev.quality.gate import IMAGE_CHECK_CLASSES
from lungsev.train.console import is_main_process, say, warn
from lungsev.train.data import cache as image_cache
from lungsev.train.data.augmentation import (
    DistortionSettings,
    GeometrySettings,
    IntensitySettings,
    apply_distortion,
    apply_intensity,
    draw_distortion,
    draw_geometry,
    draw_intensity,
)
from lungsev.train.data.datasets import load_graded, load_masked
from lungsev.train.data.loaders import Key, generator_of, make_loader
from lungsev.train.data.preparation import left_out, ready_images, require_root, split_dataset, usable
from lungsev.train.data.sampling import reduced
from lungsev.train.data.splits import split_images
from lungsev.train.data.synthetic import SyntheticImage, make_chests
from lungsev.train.data.wrong_pictures import leaning, part_missing, several_images
from lungsev.train.evaluation.lungs import measure_lungs
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import TrainingModule, fit, seed_weights
from lungsev.train.fitting.losses import mask_loss
from lungsev.train.runs import Run
from lungsev.train.settings import DataSettings, LoopSettings, OptimizerSettings, Positive, Settings, Share

MEASURED = ("validation", "test", "held_out")  # held_out: images of the patients that may not be trained on
FRONTAL = IMAGE_CHECK_CLASSES.index("frontal")


class SegmentSettings(Settings):
    """`lungsev-train segment`."""

    data: DataSettings = DataSettings()
    network: SegmentationSettings = SegmentationSettings()
    optimizer: OptimizerSettings = OptimizerSettings(lr=2e-3)
    loop: LoopSettings = LoopSettings(epochs=30, batch_size=8, ema=0.99)
    geometry: GeometrySettings = GeometrySettings(rotation_deg=15, scale=0.2, shift=0.08, shear=0.05)
    intensity: IntensitySettings = IntensitySettings(brightness=0.15, contrast=0.35, gamma=0.35, shade=0.2)
    distortion: DistortionSettings = DistortionSettings(p=0.3)
    train_px: Positive | None = None  # side of the training images; None: the network's own. Smaller is faster
    zoom: Share = 0.3  # share of images shown as a window of 0.7 to 1 of their side, which fits smaller images
    freeze_stages: Annotated[int, Field(ge=0)] = 0  # of a pretrained EfficientNet encoder; edges are edges on any image
    ood_rate: Share = 0.3  # share of images shown turned, inverted or replaced by no chest, for the image check
    image_check_weight: float = 0.3  # of the image check's loss beside the mask's
    # A run of `segment` with the same network to go on from, on other images or for more epochs
    start: Path | None = None
    synthetic: Annotated[int, Field(ge=0)] = 16  # phantom chests among the images: no_chest is taught by phantoms too
    # Datasets of graded images whose chests teach the image check alone; a fifth of their patients stay out, by the
    # protocol `holdout` with the seed of the split.
    chests: tuple[Path, ...] = ()
    chest_share: Share = 0.25  # of the images of an epoch


class SegmentationImages:
    """Canvases and lung masks at the network's side, augmented differently in each epoch."""

    def __init__(
        self,
        radiographs: Sequence[image_cache.CachedImage | SyntheticImage],
        settings: SegmentSettings,
        side_px: int,
        augmented: bool,
        chests: Sequence[image_cache.CachedImage] = (),
    ) -> None:
        self.images, self.settings, self.side_px, self.augmented = list(radiographs), settings, side_px, augmented
        self.chests = list(chests)
        share = settings.chest_share
        self.unoutlined = round(len(self.images) * share / (1 - share)) if self.chests else 0

    def __len__(self) -> int:
        return len(self.images) + self.unoutlined

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return image float32 [1, M, M]; mask float32 [C, M, M]; outlined; kind: index of IMAGE_CHECK_CLASSES; index.

        The mask of an image that is not outlined is zero and says nothing.
        """
        generator = generator_of(self.settings.loop.seed, key)
        outlined = key[1] < len(self.images)
        radiograph = self.images[key[1]] if outlined else self.chests[int(generator.integers(len(self.chests)))]
        source_px = max(self.side_px, self.settings.network.size_px)
        image = reduced(radiograph.canvas(), source_px)
        planes = 2 if self.settings.network.sides else 1
        mask = np.zeros((planes, source_px, source_px), np.float32)
        if outlined:
            mask = lung_planes(radiograph.mask(), self.settings.network.sides, source_px)
        kind = FRONTAL
        if self.augmented:
            image, mask = self._changed(image, mask, generator)
        if self.settings.network.image_check:
            image, mask, kind = self._maybe_ood(image, mask, generator)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image))[None],
            "mask": torch.from_numpy(np.ascontiguousarray(mask >= 0.5).astype(np.float32)),
            "outlined": outlined,
            "kind": kind,
            "index": key[1],
        }

    def _changed(
        self, image: npt.NDArray[np.float32], mask: npt.NDArray[np.float32], generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        geometry = draw_geometry(self.settings.geometry, generator)
        intensity = draw_intensity(self.settings.intensity, generator)
        distortion = draw_distortion(self.settings.distortion, generator)
        matrix = geometry.matrix()
        if generator.random() < self.settings.zoom:
            matrix[:, :2] *= generator.uniform(0.7, 1.0)
        image, *planes = (apply_distortion(warp(plane, matrix, self.side_px), distortion) for plane in (image, *mask))
        return apply_intensity(image, intensity), np.stack(planes[::-1] if geometry.flip else planes)

    def _maybe_ood(
        self, image: npt.NDArray[np.float32], mask: npt.NDArray[np.float32], generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], int]:
        """Turn, invert, spoil or replace some images: the head learns to refuse them. Validation does it too."""
        every = self.settings.network.image_check_classes == len(IMAGE_CHECK_CLASSES)
        chance, choice = generator.random(), int(generator.integers(14 if every else 8))
        if chance >= self.settings.ood_rate:
            return image, mask, FRONTAL
        if choice < 3:
            turns = choice + 1
            # rotated_90 is an image that is 90 degrees clockwise of upright.
            turned = np.rot90(mask, -turns, axes=(1, 2))
            return np.rot90(image, -turns), turned, IMAGE_CHECK_CLASSES.index(f"rotated_{90 * turns}")
        if choice == 3:
            return 1.0 - image, mask, IMAGE_CHECK_CLASSES.index("inverted")
        if choice < 8:
            return no_chest(image, generator), np.zeros_like(mask), IMAGE_CHECK_CLASSES.index("no_chest")
        kind = ("leaning", "several_images", "part_missing")[(choice - 8) // 2]
        image, mask = self._spoilt(kind, image, mask, generator)
        return image, mask, IMAGE_CHECK_CLASSES.index(kind)

    def _spoilt(
        self, kind: str, image: npt.NDArray[np.float32], mask: npt.NDArray[np.float32], generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        planes = np.stack([image, *mask], axis=-1)
        if kind == "several_images":
            other = self.images[int(generator.integers(len(self.images)))]
            lungs = lung_planes(other.mask(), self.settings.network.sides, len(image))
            beside = np.stack([reduced(other.canvas(), len(image)), *lungs], axis=-1)
            planes = several_images(planes, [beside], generator)
        else:
            planes = (leaning if kind == "leaning" else part_missing)(planes, generator)
        return planes[..., 0], np.moveaxis(planes[..., 1:], -1, 0)


def no_chest(radiograph: npt.NDArray[np.float32], generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a picture [M, M] of anything else: a phantom of another body part, or real texture out of place.

    Phantoms alone would teach the head to tell phantoms from images; pieces of real images are no chest either.
    """
    side = radiograph.shape[0]
    kind = generator.random()
    if kind < 0.6:
        name = NON_CHEST_KINDS[int(generator.integers(len(NON_CHEST_KINDS)))]
        picture = np.asarray(make_non_chest(name, int(generator.integers(2**31))), dtype=np.float32)
        picture = reduced(picture, side)
    elif kind < 0.85:
        picture = _piece(radiograph, generator, side)
    else:
        tiles = int(generator.integers(2, 4))
        size = -(-side // tiles)
        rows = [np.hstack([_piece(radiograph, generator, size) for _ in range(tiles)]) for _ in range(tiles)]
        picture = np.vstack(rows)[:side, :side]
    return np.asarray(np.rot90(picture, int(generator.integers(4))), dtype=np.float32)


def _piece(radiograph: npt.NDArray[np.float32], generator: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """A window of a seventh to a third of the image's side, enlarged, mirrored or not."""
    window = int(radiograph.shape[0] * generator.uniform(0.14, 0.33))
    top, left = generator.integers(0, radiograph.shape[0] - window, 2)
    piece = radiograph[top : top + window, left : left + window]
    piece = piece[:, ::-1] if generator.random() < 0.5 else piece
    resized = cv2.resize(np.ascontiguousarray(piece), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


class SegmentationModule(TrainingModule):
    """Binary cross-entropy and Dice for the mask, cross-entropy for the image check."""

    def __init__(self, network: nn.Module, settings: SegmentSettings) -> None:
        super().__init__(network, settings.optimizer, settings.loop)
        self.settings = settings
        self.freeze_parts(encoder_stages(network.net.encoder.model, settings.freeze_stages))  # type: ignore[union-attr]

    def loss_of(self, batch: dict[str, Any], network: Any, part: str) -> Tensor:
        """Return the mask's loss plus that of the image check."""
        logits, deepest = network.with_features(batch["image"])
        # A turned image's mask is turned with it; only what is no chest has nothing to outline.
        outlined = batch["outlined"]
        loss = logits.float().sum() * 0
        if bool(outlined.any()):
            loss = mask_loss(logits[outlined], batch["mask"][outlined])
            self.log_number(f"{part}/dice", _batch_dice(logits[outlined], batch["mask"][outlined]), batch)
        if network.image_check is not None:
            kinds = network.image_check(deepest).float()
            loss = loss + self.settings.image_check_weight * functional.cross_entropy(kinds, batch["kind"])
            self.log_number(f"{part}/image_check", (kinds.argmax(1) == batch["kind"]).float().mean(), batch)
        return loss

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the encoder."""
        return list(self.network.net.encoder.parameters())  # type: ignore[union-attr, arg-type]


def encoder_stages(encoder: Any, stages: int) -> list[nn.Module]:
    """Return the stem and the first stages of an EfficientNet.

    Raises:
        ConfigError: The encoder is of another family.
    """
    if stages == 0:
        return []
    if not all(hasattr(encoder, part) for part in ("conv_stem", "bn1", "blocks")):
        raise ConfigError("freeze_stages needs an encoder of timm's EfficientNet family; set it to 0")
    return [encoder.conv_stem, encoder.bn1, *encoder.blocks[:stages]]


def run_segmentation(settings: SegmentSettings, run: Run) -> dict[str, Any]:
    """Train, measure on the images held back, and leave network.pt and metrics.json in the run folder.

    Raises:
        DatasetError: The folder is no dataset of lung masks, or an image cannot be read.
        ConfigError: `start` holds another network than the settings say.
    """
    dataset = load_masked(require_root(settings.data), settings.data.layout)
    for problem in dataset.problems:
        warn(problem)
    readable, prepared = ready_images(dataset.images, settings.data)
    radiographs = usable(readable, prepared, settings.data)
    split = split_dataset(radiographs, settings.data.split, run)
    seed_weights(settings.loop.seed)
    network = network_to_train(settings)
    patient_of = {radiograph.name: radiograph.patient for radiograph in readable}
    names_of = {**split.parts, "held_out": [radiograph.name for radiograph in left_out(readable, radiographs)]}
    parts = {part: [prepared[name] for name in names] for part, names in names_of.items()}
    patients = {part: [patient_of[name] for name in names] for part, names in names_of.items()}
    say(f"Finding lungs in {len(parts['train'])} images of {dataset.name} ({split.protocol}), run {run.path}")
    synthetic = make_chests(settings.synthetic, settings.loop.seed) if settings.network.image_check else []
    best = fit(SegmentationModule(network, settings), run, *_loaders(parts, synthetic, _chests(settings), settings))
    if not is_main_process():
        return {}
    metrics = {
        "task": "segmentation",
        "data": [dataset.name],
        "split": {"protocol": split.protocol, "sha256": split.sha256},
        **{
            part: measure_lungs(best, parts[part], patients[part], settings.network)
            for part in MEASURED
            if parts.get(part)
        },
    }
    save_checkpoint(run.path, settings.network, best)
    finish_run(run, metrics)
    return metrics


def network_to_train(settings: SegmentSettings) -> SegmentationNetwork:
    """Return a new network, or that of the run to go on from.

    Raises:
        ConfigError: That run has another network.
    """
    if settings.start is None:
        return build_segmentation(settings.network)
    network, theirs = load_segmentation(settings.start)
    if theirs != settings.network:
        names = [name for name in type(theirs).model_fields if getattr(theirs, name) != getattr(settings.network, name)]
        different = ", ".join(f"{name} {getattr(theirs, name)}" for name in names)
        raise ConfigError(
            f"start: {settings.start} holds another network, with {different}; set the same under network"
        )
    return network


def lung_planes(labels: npt.NDArray[np.uint8], sides: bool, side_px: int) -> npt.NDArray[np.float32]:
    """Return the share of lung in each pixel, float32 [C, side_px, side_px]: of each lung, or of both."""
    planes = (labels == 1, labels == 2) if sides else (labels > 0,)
    return np.stack([reduced(plane.astype(np.float32), side_px) for plane in planes])


def _chests(settings: SegmentSettings) -> list[image_cache.CachedImage]:
    """Return the chests without an outline, but for those of the patients who stay out."""
    found = []
    for root in settings.chests:
        images, prepared = ready_images(load_graded(root).images, settings.data)
        kept = usable(images, prepared, settings.data)
        split = split_images(kept, "holdout", settings.data.split.seed, validation=0.0, test=0.2)
        found += [prepared[name] for name in split.parts["train"]]
    return found


def _loaders(
    parts: dict[str, list[image_cache.CachedImage]],
    synthetic: Sequence[SyntheticImage],
    chests: Sequence[image_cache.CachedImage],
    settings: SegmentSettings,
) -> tuple[Any, Any]:
    loop, workers, side = settings.loop, settings.data.num_workers, settings.network.size_px
    images: list[image_cache.CachedImage | SyntheticImage] = [*parts["train"], *synthetic]
    train = SegmentationImages(images, settings, settings.train_px or side, augmented=True, chests=chests)
    train_loader = make_loader(train, loop.batch_size, True, loop.seed, workers, loop.accumulate)
    if not parts.get("validation"):
        return train_loader, None
    held = SegmentationImages(parts["validation"], settings, side, augmented=False)
    return train_loader, make_loader(held, loop.batch_size, False, loop.seed, workers, loop.accumulate)


def _batch_dice(logits: Tensor, mask: Tensor) -> Tensor:
    found, truth = (logits > 0).any(dim=1, keepdim=True), (mask > 0.5).any(dim=1, keepdim=True)
    size = found.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
    overlap = (found & truth).sum(dim=(1, 2, 3))
    return torch.where(size > 0, 2 * overlap / size.clamp_min(1), torch.ones_like(overlap, dtype=torch.float32)).mean()
