"""`lungsev-train brixia | inha | custom`: grades every region of images that the earlier stages aligned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from lungsev.errors import ConfigError
from lungsev.geometry import changed
from lungsev.networks.checkpoint import save_checkpoint
from lungsev.networks.settings import FusedSettings, SeveritySettings
from lungsev.schemes import Scheme
from lungsev.train.console import is_main_process, say, warn
from lungsev.train.data import cache as image_cache
from lungsev.train.data.augmentation import (
    GeometrySettings,
    IntensitySettings,
    apply_intensity,
    draw_geometry,
    draw_intensity,
)
from lungsev.train.data.datasets import GradedDataset, GradedImage, load_graded
from lungsev.train.data.loaders import Key, generator_of, make_loader
from lungsev.train.data.preparation import ready_images, require_root, split_dataset, upstream_run
from lungsev.train.data.sampling import crop, moved_canvas, token_coverage
from lungsev.train.evaluation.calibration import CalibrationSettings
from lungsev.train.evaluation.measure import measure_run
from lungsev.train.fitting.device import device_of
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import TrainingModule, fit, seed_weights
from lungsev.train.fitting.losses import (
    SeverityLossSettings,
    expected_grade,
    known_mean,
    known_regions,
    severity_loss,
    target_distribution,
)
from lungsev.train.runs import Run
from lungsev.train.settings import DataSettings, LoopSettings, OptimizerSettings, Positive, Settings, Share
from lungsev.train.tasks.initial_weights import InitialSettings, build_initial, newest_source
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, image_masks, image_thetas


class SeverityRunSettings(Settings):
    """`lungsev-train brixia | inha | custom`."""

    title: str = ""  # name of the row in reports; empty: made from the network's settings
    scheme: str | None = None  # name or YAML path; None: the dataset's own
    data: DataSettings = DataSettings()
    alignment: Path | None = None  # run of `align`; None: the newest
    network: SeveritySettings = SeveritySettings()
    initial: InitialSettings = InitialSettings()
    readers: Literal["first", "soft", "random"] = "soft"  # soft: mean of the readers' distributions
    first_reader: Share | None = None  # weight of the first reader in the mean; None: all count alike
    freeze_norms: bool = False  # normalisation keeps its statistics: a hundred images say less than pretraining did
    loss: SeverityLossSettings = SeverityLossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    loop: LoopSettings = LoopSettings(epochs=40, batch_size=16, ema=0.99)
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    intensity: IntensitySettings = IntensitySettings()
    mixup: Annotated[float, Field(ge=0)] = 0.0  # Beta(mixup, mixup); 0 is off
    balance: bool = False  # sample images of rare totals as often as common ones
    ensemble: Positive = 1  # networks of different seeds, whose probabilities are averaged
    seeds: Positive = 1  # trainings of other seeds; results are their mean, spread and interval
    calibration: CalibrationSettings = CalibrationSettings()


class SeverityImages:
    """Images as the network sees them with the readers' distributions, augmented differently in each epoch."""

    def __init__(
        self,
        radiographs: Sequence[GradedImage],
        cached: Sequence[image_cache.CachedImage],
        thetas: npt.NDArray[np.float64],
        scheme: Scheme,
        settings: SeverityRunSettings,
        augmented: bool,
        masks: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.images, self.cached, self.thetas = list(radiographs), list(cached), thetas
        self.scheme, self.settings, self.augmented = scheme, settings, augmented
        self.masks = masks

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return image float32 [1, S, S]; target float32 [R, G]; index.

        Mask attention needs coverage too, float32 [1, h, w]: the lungs' share of each token. For BS-Net the image is
        the canvas, with mask float32 [1, M, M] and theta float32 [2, 3].
        """
        index, settings = key[1], self.settings
        generator = generator_of(settings.loop.seed, key)
        target = reader_target(self.images[index], self.scheme, settings, generator)
        change = intensity = None
        if self.augmented:
            geometry = draw_geometry(settings.geometry, generator)
            intensity = draw_intensity(settings.intensity, generator)
            change = geometry.matrix()
            if geometry.flip:
                target = target[list(self.scheme.flip_permutation)]
        planes = self._planes(index, change)
        if intensity is not None:
            planes["image"] = apply_intensity(planes["image"], intensity)
        item: dict[str, Any] = {name: torch.from_numpy(plane)[None] for name, plane in planes.items()}
        if settings.network.neck == "bsnet":
            item["theta"] = torch.from_numpy(self.thetas[index].astype(np.float32))
        return {**item, "target": torch.from_numpy(target), "index": index}

    def _planes(self, index: int, change: npt.NDArray[np.float64] | None) -> dict[str, npt.NDArray[np.float32]]:
        """What the network sees of an image after a change of the aligned frame, without a change of intensity."""
        canvas, theta, network = self.cached[index].canvas(), self.thetas[index], self.settings.network
        if network.neck == "bsnet":
            assert self.masks is not None
            image, mask = moved_canvas(canvas, self.masks[index], theta, change, network)
            return {"image": image, "mask": mask}
        theta = theta if change is None else changed(theta, change)
        planes = {"image": crop(canvas, theta, network)}
        if self.masks is not None:
            planes["coverage"] = token_coverage(self.masks[index], theta, network)
        return planes


class ReaderSettings(Protocol):
    """Which readers count, and how much."""

    @property
    def readers(self) -> str:
        """Return `first`, `soft` or `random`."""

    @property
    def first_reader(self) -> float | None:
        """Return the weight of the first reader in a mean of all; None counts them alike."""


def reader_target(
    radiograph: GradedImage, scheme: Scheme, settings: ReaderSettings, generator: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return an image's distribution [R, G]: of the first reader, of all, or of a random one.

    Zeros for a region that the reader, or all of them, did not grade.
    """
    readings = list(radiograph.readings.values())
    weights = None
    if settings.readers == "first":
        readings = readings[:1]
    elif settings.readers == "random":
        readings = [readings[int(generator.integers(len(readings)))]]
    elif settings.first_reader is not None and len(readings) > 1:
        others = len(readings) - 1
        weights = [settings.first_reader, *[(1 - settings.first_reader) / others] * others]
    return target_distribution(readings, scheme.grades, weights)


class SeverityModule(TrainingModule):
    """Learns the readers' distributions of every region."""

    def __init__(self, network: nn.Module, scheme: Scheme, settings: SeverityRunSettings) -> None:
        if settings.geometry.flip > 0:
            _require_flip(scheme)
        super().__init__(network, settings.optimizer, settings.loop)
        self.settings, self.scheme = settings, scheme
        bsnet = settings.network.neck == "bsnet"
        if bsnet and settings.mixup > 0:
            raise ConfigError("mixup blends aligned crops, and BS-Net aligns features; set mixup: 0")
        if settings.initial.freeze == "all_but_heads":
            self.freeze_parts(network.trunk())  # type: ignore[operator]
        elif bsnet and settings.network.bsnet.freeze_encoder:
            self.freeze_parts([network.backbone])  # type: ignore[list-item]
        if settings.freeze_norms:
            self.frozen += [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]

    def loss_of(self, batch: dict[str, Any], network: Any, part: str) -> Tensor:
        """Return the loss of a batch, mixed up in training if the settings say so."""
        if part == "train" and self.settings.mixup > 0:
            batch = mixed(batch, self.settings.mixup)
        target = batch["target"]
        if self.settings.network.neck == "bsnet":
            found = network.logits(batch["image"], batch["mask"], batch["theta"])
        else:
            found = network.logits(batch["image"], batch.get("coverage"))
        logits = found[self.scheme.name]
        self._log_grades(logits, target, batch, part)
        return severity_loss(logits, target, self.settings.loss)

    def _log_grades(self, logits: Tensor, target: Tensor, batch: dict[str, Any], part: str) -> None:
        probabilities = logits.detach().float().softmax(dim=-1)
        known = known_regions(target)
        hits = (probabilities.argmax(dim=-1) == target.argmax(dim=-1)).float()
        self.log_number(f"{part}/accuracy", known_mean(hits, known), batch)
        distance = (expected_grade(probabilities) - expected_grade(target)).abs()
        self.log_number(f"{part}/expected_mae", known_mean(distance, known), batch)

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the backbone."""
        return list(self.network.backbone.parameters())  # type: ignore[union-attr, arg-type]


def _require_flip(scheme: Scheme) -> None:
    try:
        _ = scheme.flip_permutation
    except ValueError as error:
        raise ConfigError(f"{error}, so images cannot be flipped: --set geometry.flip=0") from None


def mixed(batch: dict[str, Any], alpha: float) -> dict[str, Any]:
    """Blend each image and its target with those of another image of the batch (Zhang et al. 2018).

    A region of the blend is known where it is known in both images.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(batch["image"]), device=batch["image"].device)
    blend = {
        key: values if key == "index" else share * values + (1 - share) * values[order] for key, values in batch.items()
    }
    known = known_regions(batch["target"])
    return {**blend, "target": blend["target"] * (known & known[order])[..., None]}


def resolve(settings: SeverityRunSettings) -> SeverityRunSettings:
    """Name the runs that the settings build on, so that a resumed run builds on the same."""
    initial = settings.initial
    if initial.source == "newest":
        initial = initial.model_copy(update={"source": newest_source(settings.network)})
    return settings.model_copy(update={"alignment": upstream_run(settings.alignment, "align"), "initial": initial})


def load_dataset(settings: SeverityRunSettings) -> GradedDataset:
    """Load the images of the settings, and print what is wrong with them."""
    dataset = load_graded(require_root(settings.data), settings.data.layout, settings.scheme)
    for problem in dataset.problems:
        warn(problem)
    return dataset


def run_severity(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Train, calibrate, measure the fused network on what was held back; leave network.pt and metrics.json.

    Raises:
        ConfigError: An earlier stage is missing, or the network cannot be built.
        DatasetError: The folder is no dataset of graded images, or an image cannot be read.
    """
    dataset = load_dataset(settings)
    scheme = dataset.scheme
    network_settings = settings.network.model_copy(update={"schemes": (scheme_name(settings, dataset),)})
    settings = settings.model_copy(update={"network": network_settings})
    normalizer = SpatialNormalizer.load(upstream_run(settings.alignment, "align"), device_of(settings.loop.accelerator))
    seed_weights(settings.loop.seed)
    network = build_initial(settings.network, settings.initial)  # before the images: a wrong name is known in seconds
    radiographs, prepared = ready_images(dataset.images, settings.data)
    cached = [prepared[radiograph.name] for radiograph in radiographs]
    thetas = image_thetas(normalizer, cached, settings.data.cache)
    wants_masks = settings.network.mask_attention or settings.network.neck == "bsnet"
    masks = image_masks(normalizer, cached, settings.data.cache) if wants_masks else None
    split = split_dataset(radiographs, settings.data.split, run, settings.data.findings, calibrated=True)
    row_of = {radiograph.name: row for row, radiograph in enumerate(radiographs)}
    parts = {part: [row_of[name] for name in names] for part, names in split.parts.items()}

    def dataset_of(part: str, augmented: bool) -> SeverityImages:
        rows = parts[part]
        chosen, shown = [radiographs[row] for row in rows], [cached[row] for row in rows]
        lungs = None if masks is None else masks[rows]
        return SeverityImages(chosen, shown, thetas[rows], scheme, settings, augmented, lungs)

    module = SeverityModule(network, scheme, settings)
    say(f"Grading {len(parts['train'])} images of {dataset.name} by {scheme.title} ({split.protocol}), run {run.path}")
    train = dataset_of("train", augmented=True)
    held = dataset_of("validation", augmented=False) if parts.get("validation") else None
    best = fit(module, run, *_loaders(train, held, settings))
    if not is_main_process():
        return {}
    fused = normalizer.fuse(best, settings.network)
    metrics = measure_run(fused, run, dataset, radiographs, cached, split, settings.calibration)
    fused_settings = FusedSettings(
        segmentation=normalizer.segmentation_settings,
        alignment=normalizer.alignment_settings,
        severity=settings.network,
    )
    save_checkpoint(run.path, fused_settings, fused)
    finish_run(run, metrics)
    return metrics


def scheme_name(settings: SeverityRunSettings, dataset: GradedDataset) -> str:
    """Return how the network's settings name the scheme: a built-in name or the path of its YAML file."""
    from lungsev.schemes import builtin_schemes

    if dataset.scheme.name in builtin_schemes():
        return dataset.scheme.name
    given = settings.scheme or str(dataset.root / "scheme.yaml")
    return str(Path(given).resolve())


def _loaders(train: SeverityImages, held: SeverityImages | None, settings: SeverityRunSettings) -> tuple[Any, Any]:
    loop, workers = settings.loop, settings.data.num_workers
    weights = _balancing_weights(train) if settings.balance else None
    train_loader = make_loader(train, loop.batch_size, True, loop.seed, workers, loop.accumulate, weights)
    if held is None:
        return train_loader, None
    return train_loader, make_loader(held, loop.batch_size, False, loop.seed, workers, loop.accumulate)


def _balancing_weights(train: SeverityImages) -> list[float]:
    """Chance of an image by how rare its total is, in six bins; the square root keeps a lone image from ruling."""
    low, high = train.scheme.total_min, train.scheme.total_max
    bins = [min(5, int(6 * (radiograph.estimated_total - low) / max(1, high - low))) for radiograph in train.images]
    return [1.0 / np.sqrt(bins.count(index)) for index in bins]
