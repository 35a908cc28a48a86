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

from lungsev.errors import ConfigError, DatasetError, ImageError
from lungsev.geometry import changed, warp
from lungsev.networks.backbone import Backbone
from lungsev.networks.build import build_backbone
from lungsev.networks.settings import SeveritySettings
from lungsev.preprocessing.canvas import to_canvas
from lungsev.train.console import in_threads, is_main_process, say, track, warn
from lungsev.train.data.augmentation import (
    GeometrySettings,
    IntensitySettings,
    apply_intensity,
    draw_geometry,
    draw_intensity,
)
from lungsev.train.data.crop_bank import BANK_LIMIT_BYTES
from lungsev.train.data.datasets import MaskedDataset, load_labelled, load_masked
from lungsev.train.data.loaders import Key, generator_of, make_loader
from lungsev.train.data.preparation import ready_images, require_root, upstream_run, usable
from lungsev.train.data.sampling import crop
from lungsev.train.data.splits import Split
from lungsev.train.data.stated_splits import make_split
from lungsev.train.fitting.device import device_of, run_batches
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import TrainingModule, fit, seed_weights
from lungsev.train.runs import Run
from lungsev.train.settings import DataSettings, LoopSettings, OptimizerSettings, Settings, Share
from lungsev.train.tasks.image_labels import (
    AnyLabelled,
    ImageLabels,
    Policy,
    label_loss,
    labels_of,
    measure_labels,
    subsample,
)
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, thetas_of
from lungsev.train.threads import pool_threads

BATCH = 16
MEASURED = ("validation", "test")

Image = npt.NDArray[np.float32]


class PretrainSettings(Settings):
    """`lungsev-train pretrain`."""

    data: DataSettings = DataSettings()
    lungs: Path | None = None  # a dataset of lung masks to outline beside; data.exclude_patients_of holds for it too
    alignment: Path | None = None  # run of `align`; None: the newest
    network: SeveritySettings = SeveritySettings(crop_px=256)
    findings: tuple[str, ...] = ()  # that are trained, of a dataset of findings; none: those of the lungs that it has
    uncertain: Policy = "ignore"  # what an uncertain finding counts as: ignore, zero or one (CheXpert's U-Ignore ...)
    unmentioned: Policy = "ignore"  # and one that nothing is said of
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
        labels: float32 [N, C]: 1 present, 0 absent, NaN unknown, as of all outlined images.
        masks: uint8 [N, A, s, s] share of lung in each token, 1/255; zero for labelled images.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.float32]
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
    chosen = labels_of(dataset, settings.findings, settings.uncertain, settings.unmentioned)
    labels = subsample(chosen, settings.subsample, settings.loop.seed)
    normalizer = SpatialNormalizer.load(upstream_run(settings.alignment, "align"), device_of(settings.loop.accelerator))
    split = _split(labels, settings, run)
    row_of = {radiograph.name: row for row, radiograph in enumerate(labels.images)}
    parts = {part: [row_of[name] for name in names] for part, names in split.parts.items()}
    measured = {row for part in MEASURED for row in parts.get(part, ())}
    crops = [_labelled_crops(labels, measured, normalizer, settings)]
    data = [root.name]
    if settings.lungs is not None:
        masked = load_masked(settings.lungs)
        data.append(masked.name)
        crops.append(_outlined_crops(masked, len(labels.names), settings))
    say(f"Pretraining on {len(parts['train'])} images of {root.name} ({', '.join(labels.names)}), run {run.path}")
    seed_weights(settings.loop.seed)
    learner = ImageLearner(build_backbone(settings.network), len(labels.names))
    images = PretrainImages(crops, parts["train"], settings.lung_share, settings.loop.seed)
    loop = settings.loop
    loader = make_loader(images, loop.batch_size, True, loop.seed, 0, loop.accumulate)
    best: Any = fit(PretrainModule(learner, labels.exclusive, settings), run, loader, None)
    if not is_main_process():
        return {}
    metrics: dict[str, Any] = {
        "task": "pretraining",
        "data": data,
        "classes": list(labels.names),
        "split": {"protocol": split.protocol, "sha256": split.sha256},
    }
    for part in MEASURED:
        if parts.get(part):
            logits = _logits(best, crops[0], parts[part])
            metrics[part] = measure_labels(logits, labels, parts[part])
            say(f"{part}: {_in_words(metrics[part])}")
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
    """Learns labels where there are some and outlines where there is one; an image has either."""

    def __init__(self, network: ImageLearner, exclusive: bool, settings: PretrainSettings) -> None:
        super().__init__(network, settings.optimizer, settings.loop)
        self.exclusive, self.smoothing = exclusive, settings.label_smoothing

    def loss_of(self, batch: dict[str, Any], network: nn.Module, part: str) -> Tensor:
        """Return the sum of both losses, each a mean over the images it is for."""
        logits, outline = network(batch["image"])
        label = batch["label"]
        labelled = ~label.isnan().all(dim=1)
        classes = label_loss(logits.float(), label, self.exclusive, self.smoothing)
        lungs = functional.binary_cross_entropy_with_logits(outline.float(), batch["mask"], reduction="none")
        lungs = lungs.mean(dim=(1, 2, 3)) * ~labelled
        if self.exclusive:
            right, known = logits.argmax(1) == label.nan_to_num().argmax(1), labelled
        else:
            right, known = (logits > 0) == (label > 0.5), ~label.isnan()
        self.log_number(f"{part}/accuracy", (right & known).sum() / known.sum().clamp_min(1), batch)
        return classes + lungs.sum() / (~labelled).sum().clamp_min(1)


class PretrainImages:
    """A random crop of each labelled image per epoch, and of as many outlined ones as make up their share."""

    def __init__(self, crops: Sequence[AugmentedImages], rows: Sequence[int], lung_share: float, seed: int) -> None:
        self.crops, self.rows, self.seed = list(crops), list(rows), seed
        self.outlined = round(len(rows) * lung_share / (1 - lung_share)) if len(crops) > 1 else 0

    def __len__(self) -> int:
        return len(self.rows) + self.outlined

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return image float32 [1, S, S]; label float32 [C]; mask float32 [1, s, s]; index."""
        generator = generator_of(self.seed, key)
        if key[1] < len(self.rows):
            crops, row = self.crops[0], self.rows[key[1]]
        else:
            crops = self.crops[1]
            row = int(generator.integers(len(crops.labels)))
        augmentation = int(generator.integers(crops.images.shape[1]))
        return {
            "image": _as_float(crops.images[row, augmentation])[None],
            "label": torch.from_numpy(crops.labels[row]),
            "mask": _as_float(crops.masks[row, augmentation])[None],
            "index": key[1],
        }


def _as_float(values: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32) / np.float32(255))


def _split(labels: ImageLabels, settings: PretrainSettings, run: Run) -> Split:
    """Return the dataset's official split, or one that holds out a small validation part; saved beside the run."""
    chosen = settings.data.split.model_copy(update={"validation": settings.validation})
    split, remarks = make_split(labels.images, chosen, otherwise="all")
    for remark in remarks:
        warn(remark)
    split.save(run.splits)
    return split


def _labelled_crops(
    labels: ImageLabels, measured: set[int], normalizer: SpatialNormalizer, settings: PretrainSettings
) -> AugmentedImages:
    """Make augmented crops of labelled images, plain ones first of those that are measured; each image is read once."""
    radiographs = labels.images
    crops = _empty(labels.values, settings.augmentations, settings)
    starts = range(0, len(radiographs), BATCH)
    with ThreadPoolExecutor(pool_threads()) as pool:
        for start in track(starts, "Augmenting images", len(starts)):
            canvases = list(pool.map(_canvas, radiographs[start : start + BATCH]))
            thetas = thetas_of(normalizer, canvases)

            def fill(row: int, first: int = start, canvases: Any = canvases, thetas: Any = thetas) -> None:
                for augmentation in range(settings.augmentations):
                    if augmentation == 0 and first + row in measured:
                        plain = crop(canvases[row], thetas[row], settings.network)
                        crops.images[first + row, 0] = np.rint(plain * 255).astype(np.uint8)
                        continue
                    generator = generator_of(settings.loop.seed, (augmentation, first + row))
                    matrix = changed(thetas[row], draw_geometry(settings.geometry, generator).matrix())
                    image = crop(canvases[row], matrix, settings.network)
                    crops.images[first + row, augmentation] = _exposed(image, settings, generator)

            list(pool.map(fill, range(len(canvases))))
    return crops


def _outlined_crops(dataset: MaskedDataset, classes: int, settings: PretrainSettings) -> AugmentedImages:
    """Make augmented copies of whole images with their lungs."""
    radiographs, prepared = ready_images(dataset.images, settings.data)
    cached = [prepared[radiograph.name] for radiograph in usable(radiographs, prepared, settings.data)]
    unlabelled = np.full((len(cached), classes), np.nan, dtype=np.float32)
    crops = _empty(unlabelled, settings.lung_augmentations, settings)
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
    return crops


def _empty(labels: npt.NDArray[np.float32], augmentations: int, settings: PretrainSettings) -> AugmentedImages:
    side, images = settings.network.crop_px, len(labels)
    tokens = side // settings.network.stride
    size = images * augmentations * (side**2 + tokens**2)
    if size > BANK_LIMIT_BYTES:
        fits = int(images * BANK_LIMIT_BYTES / size)
        raise ConfigError(
            f"the crops of {images} images would take {size / 2**30:.0f} GB, at most {BANK_LIMIT_BYTES >> 30} are "
            f"used: --set subsample={fits}, or fewer augmentations or a smaller network.crop_px"
        )
    return AugmentedImages(
        np.zeros((images, augmentations, side, side), np.uint8),
        labels,
        np.zeros((images, augmentations, tokens, tokens), np.uint8),
    )


def _exposed(image: Image, settings: PretrainSettings, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    changed = apply_intensity(image, draw_intensity(settings.intensity, generator))
    return np.rint(changed * 255).astype(np.uint8)


def _canvas(radiograph: AnyLabelled) -> Image:
    try:
        return to_canvas(radiograph.read(radiograph.path)).pixels
    except ImageError as error:
        raise DatasetError(f"{radiograph.path.name} cannot be read: {error}; repair or remove it") from None


def _logits(network: Any, crops: AugmentedImages, rows: Sequence[int]) -> npt.NDArray[np.float32]:
    return run_batches(
        network,
        list(rows),
        lambda chunk: crops.images[list(chunk), 0].astype(np.float32)[:, None] / np.float32(255),
        lambda images: {"logits": network(images)[0]},
        batch=BATCH,
    )["logits"]


def _in_words(measured: dict[str, Any]) -> str:
    start = f"{measured['images']} images of {measured['patients']} patients"
    if "accuracy" in measured:
        return f"{start}, accuracy {measured['accuracy']:.3f}"
    areas = [
        f"{name} {area['auroc']:.3f} ({area['present']} of {area['present'] + area['absent']})"
        for name, area in measured["findings"].items()
        if area["auroc"] is not None
    ]
    macro = measured["macro_auroc"]
    return f"{start}, AUROC {', '.join(areas)}; mean {macro:.3f}" if areas else f"{start}, too few to measure"
