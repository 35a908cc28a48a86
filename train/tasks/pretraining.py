"""`lungsev-train pretrain`: teaches the backbone what pneumonia looks like, and where lungs are.

Labels of whole images are a hundred times easier to come by than grades of zones, and outlines of lungs ten times.
Labelled images are seen as the severity network will see them, aligned to the lungs; outlined ones are seen whole.
What is left behind is the backbone alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lungsev.errors import DatasetError, ImageError
from lungsev.geometry import compose, warp
from lungsev.networks.backbone import Backbone
from lungsev.networks.build import build_backbone
from lungsev.networks.settings import SeveritySettings
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.read import read_radiograph
from lungsev.train.console import in_threads, is_main_process, say, track, warn
from lungsev.train.data.augmentation import (
    GeometrySettings,
    IntensitySettings,
    apply_intensity,
    draw_geometry,
    draw_intensity,
)
from lungsev.train.data.datasets import LabelledImage, MaskedDataset, load_labelled, load_masked
from lungsev.train.data.loaders import Key, generator_of, make_loader
from lungsev.train.data.preparation import ready_images, require_root, upstream_run, usable
from lungsev.train.data.sampling import crop
from lungsev.train.data.splits import split_images
from lungsev.train.fitting.device import device_of, run_batches
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import TrainingModule, fit, seed_weights
from lungsev.train.runs import Run
from lungsev.train.settings import DataSettings, LoopSettings, OptimizerSettings, Settings, Share
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, thetas_of
from lungsev.train.threads import pool_threads

BATCH = 16
UNLABELLED = -1

Image = npt.NDArray[np.float32]


class PretrainSettings(Settings):
    """`lungsev-train pretrain`."""

    data: DataSettings = DataSettings()
    lungs: Path | None = None  # a dataset of lung masks to outline beside; data.exclude_patients_of holds for it too
    alignment: Path | None = None  # run of `align`; None: the newest
    network: SeveritySettings = SeveritySettings(crop_px=256)
    subsample: Annotated[int, Field(ge=0)] = 0  # images, evenly from the classes; 0: all
    augmentations: Annotated[int, Field(ge=1)] = 3  # of each labelled image
    lung_augmentations: Annotated[int, Field(ge=1)] = 8  # of each outlined image
    lung_share: Share = 0.2  # of the images of an epoch
    validation: Share = 0.08  # of the patients of the labelled images
    optimizer: OptimizerSettings = OptimizerSettings(lr=6e-4, weight_decay=0.05, gradient_clip=None)
    loop: LoopSettings = LoopSettings(epochs=12, batch_size=80, ema=0.99, keep="last")
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    lung_geometry: GeometrySettings = GeometrySettings(scale=0.2, shift=0.1, flip=0.5)
    intensity: IntensitySettings = IntensitySettings()
    label_smoothing: Share = 0.05


@dataclass(frozen=True)
class AugmentedImages:
    """Augmented crops, made once.

    Attributes:
        images: uint8 [N, A, S, S].
        labels: [N] class, or UNLABELLED.
        masks: uint8 [N, A, s, s] share of lung in each token, 1/255; zero for labelled images.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.intp]
    masks: npt.NDArray[np.uint8]


def resolve(settings: PretrainSettings) -> PretrainSettings:
    """Name the run that the settings build on, so that a resumed run builds on the same."""
    return settings.model_copy(update={"alignment": upstream_run(settings.alignment, "align")})


def run_pretraining(settings: PretrainSettings, run: Run) -> dict[str, Any]:
    """Train the backbone; leave its weights under timm's names in network.pt, and metrics.json.

    Raises:
        DatasetError: A folder is no dataset of labelled or outlined images, or an image cannot be read.
        ConfigError: There is no alignment run.
    """
    root = require_root(settings.data)
    dataset = load_labelled(root)
    for problem in dataset.problems:
        warn(problem)
    radiographs = _subsample(dataset.images, settings.subsample, settings.loop.seed)
    classes = sorted({radiograph.finding for radiograph in radiographs})
    normalizer = SpatialNormalizer.load(upstream_run(settings.alignment, "align"), device_of(settings.loop.accelerator))
    split = split_images(radiographs, "all", settings.data.split.seed, validation=settings.validation)
    split.save(run.splits)
    crops = [_labelled_crops(radiographs, classes, normalizer, settings)]
    data = [root.name]
    if settings.lungs is not None:
        masked = load_masked(settings.lungs)
        data.append(masked.name)
        crops.append(_outlined_crops(masked, settings))
    row_of = {radiograph.name: row for row, radiograph in enumerate(radiographs)}
    parts = {part: [row_of[name] for name in names] for part, names in split.parts.items()}
    say(f"Pretraining on {len(parts['train'])} images of {root.name} ({', '.join(classes)}), run {run.path}")
    seed_weights(settings.loop.seed)
    learner = ImageLearner(build_backbone(settings.network), len(classes))
    images = PretrainImages(crops, parts["train"], settings.lung_share, settings.loop.seed)
    loop = settings.loop
    loader = make_loader(images, loop.batch_size, True, loop.seed, 0, loop.accumulate)
    best: Any = fit(PretrainModule(learner, settings), run, loader, None)
    if not is_main_process():
        return {}
    metrics: dict[str, Any] = {
        "task": "pretraining",
        "data": data,
        "classes": classes,
        "split": {"protocol": split.protocol, "sha256": split.sha256},
    }
    if parts.get("validation"):
        metrics["validation"] = _accuracy(best, crops[0], parts["validation"])
        say(f"validation: {len(parts['validation'])} images, accuracy {metrics['validation']['accuracy']:.3f}")
    torch.save(best.backbone.cpu().timm_state(), run.network)
    finish_run(run, metrics)
    return metrics


class ImageLearner(nn.Module):
    """Backbone -> class from the mean over the image, share of lung from every token."""

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classify = nn.Sequential(nn.Dropout(0.2), nn.Linear(backbone.channels, classes))
        self.outline = nn.Conv2d(backbone.channels, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [N, 1, S, S] 0-1 -> class logits [N, classes], logits of lung [N, 1, s, s]."""
        features = self.backbone(image)
        return self.classify(features.mean(dim=(2, 3))), self.outline(features)


class PretrainModule(TrainingModule):
    """Cross-entropy where there is a class, binary cross-entropy where there is an outline; an image has one."""

    def __init__(self, network: ImageLearner, settings: PretrainSettings) -> None:
        super().__init__(network, settings.optimizer, settings.loop)
        self.smoothing = settings.label_smoothing

    def loss_of(self, batch: dict[str, Any], network: nn.Module, part: str) -> Tensor:
        """Return the sum of both losses, each a mean over the images it is for."""
        logits, outline = network(batch["image"])
        labelled = batch["label"] != UNLABELLED
        classes = functional.cross_entropy(
            logits.float(), batch["label"], ignore_index=UNLABELLED, label_smoothing=self.smoothing, reduction="none"
        )
        lungs = functional.binary_cross_entropy_with_logits(outline.float(), batch["mask"], reduction="none")
        lungs = lungs.mean(dim=(1, 2, 3)) * ~labelled
        hits = (logits.argmax(1) == batch["label"]).float().sum() / labelled.sum().clamp_min(1)
        self.log_number(f"{part}/accuracy", hits, batch)
        return classes.sum() / labelled.sum().clamp_min(1) + lungs.sum() / (~labelled).sum().clamp_min(1)


class PretrainImages:
    """A random crop of each labelled image per epoch, and of as many outlined ones as make up their share."""

    def __init__(self, crops: Sequence[AugmentedImages], rows: Sequence[int], lung_share: float, seed: int) -> None:
        self.crops, self.rows, self.seed = list(crops), list(rows), seed
        self.outlined = round(len(rows) * lung_share / (1 - lung_share)) if len(crops) > 1 else 0

    def __len__(self) -> int:
        return len(self.rows) + self.outlined

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return image float32 [1, S, S]; label; mask float32 [1, s, s]; index."""
        generator = generator_of(self.seed, key)
        if key[1] < len(self.rows):
            crops, row = self.crops[0], self.rows[key[1]]
        else:
            crops = self.crops[1]
            row = int(generator.integers(len(crops.labels)))
        augmentation = int(generator.integers(crops.images.shape[1]))
        return {
            "image": _as_float(crops.images[row, augmentation])[None],
            "label": int(crops.labels[row]),
            "mask": _as_float(crops.masks[row, augmentation])[None],
            "index": key[1],
        }


def _as_float(values: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32) / np.float32(255))


def _subsample(radiographs: Sequence[LabelledImage], count: int, seed: int) -> list[LabelledImage]:
    """Choose about `count` images, evenly from the classes."""
    if not count or count >= len(radiographs):
        return list(radiographs)
    classes = sorted({radiograph.finding for radiograph in radiographs})
    generator = np.random.default_rng(seed)
    chosen: set[str] = set()
    for label in classes:
        names = [radiograph.name for radiograph in radiographs if radiograph.finding == label]
        chosen |= {names[i] for i in generator.permutation(len(names))[: max(1, count // len(classes))]}
    return [radiograph for radiograph in radiographs if radiograph.name in chosen]


def _labelled_crops(
    radiographs: Sequence[LabelledImage],
    classes: Sequence[str],
    normalizer: SpatialNormalizer,
    settings: PretrainSettings,
) -> AugmentedImages:
    """Make augmented crops of labelled images; each image is read once."""
    crops = _empty(len(radiographs), settings.augmentations, settings)
    starts = range(0, len(radiographs), BATCH)
    with ThreadPoolExecutor(pool_threads()) as pool:
        for start in track(starts, "Augmenting images", len(starts)):
            canvases = list(pool.map(_canvas, radiographs[start : start + BATCH]))
            thetas = thetas_of(normalizer, canvases)

            def fill(row: int, first: int = start, canvases: Any = canvases, thetas: Any = thetas) -> None:
                for augmentation in range(settings.augmentations):
                    generator = generator_of(settings.loop.seed, (augmentation, first + row))
                    matrix = compose(thetas[row], draw_geometry(settings.geometry, generator).matrix())
                    image = crop(canvases[row], matrix, settings.network)
                    crops.images[first + row, augmentation] = _exposed(image, settings, generator)

            list(pool.map(fill, range(len(canvases))))
    crops.labels[:] = [classes.index(radiograph.finding) for radiograph in radiographs]
    return crops


def _outlined_crops(dataset: MaskedDataset, settings: PretrainSettings) -> AugmentedImages:
    """Make augmented copies of whole images with their lungs."""
    radiographs, prepared = ready_images(dataset.images, settings.data)
    cached = [prepared[radiograph.name] for radiograph in usable(radiographs, prepared, settings.data)]
    crops = _empty(len(cached), settings.lung_augmentations, settings)
    side, tokens = settings.network.crop_px, crops.masks.shape[-1]

    def fill(row: int) -> None:
        canvas, lungs = cached[row].canvas(), (cached[row].mask() > 0).astype(np.float32)
        for augmentation in range(settings.lung_augmentations):
            generator = generator_of(settings.loop.seed, (augmentation, row), stream=1)
            matrix = draw_geometry(settings.lung_geometry, generator).matrix()
            crops.images[row, augmentation] = _exposed(crop(canvas, matrix, settings.network), settings, generator)
            small = cv2.resize(warp(lungs, matrix, side), (tokens, tokens), interpolation=cv2.INTER_AREA)
            crops.masks[row, augmentation] = np.rint(small * 255)

    in_threads(fill, len(cached), "Augmenting lungs")
    crops.labels[:] = UNLABELLED
    return crops


def _empty(radiographs: int, augmentations: int, settings: PretrainSettings) -> AugmentedImages:
    side = settings.network.crop_px
    tokens = side // settings.network.stride
    return AugmentedImages(
        np.zeros((radiographs, augmentations, side, side), np.uint8),
        np.zeros(radiographs, np.intp),
        np.zeros((radiographs, augmentations, tokens, tokens), np.uint8),
    )


def _exposed(image: Image, settings: PretrainSettings, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    changed = apply_intensity(image, draw_intensity(settings.intensity, generator))
    return np.rint(changed * 255).astype(np.uint8)


def _canvas(radiograph: LabelledImage) -> Image:
    try:
        return to_canvas(read_radiograph(radiograph.path)).pixels
    except ImageError as error:
        raise DatasetError(f"{radiograph.path.name} cannot be read: {error}; repair or remove it") from None


def _accuracy(network: Any, crops: AugmentedImages, rows: Sequence[int]) -> dict[str, Any]:
    answers = run_batches(
        network,
        list(rows),
        lambda chunk: crops.images[list(chunk), 0].astype(np.float32)[:, None] / np.float32(255),
        lambda images: {"classes": network(images)[0].argmax(dim=1)},
        batch=BATCH,
    )["classes"]
    return {"images": len(rows), "accuracy": float((answers == crops.labels[list(rows)]).mean())}
