"""`lungsev-train ensemble`: a cross-validation that ends as one network.

A hundred images and one network that starts from what `pretrain` learned: each fold trains a few copies of it that
differ in the order of images and in what was dropped out, and averages their weights (Wortsman et al. 2022; copies
of one start lie in one valley). Each image is graded by the average that never saw its patient: those predictions
are the measurement, and calibrate what ships. What ships is the average of copies trained on all images.

The copies see each image as a dozen views made once (plain, mirrored, moved, exposed otherwise).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.geometry import compose
from lungsev.grading import Calibration
from lungsev.networks.checkpoint import save_checkpoint
from lungsev.networks.heads import MAP_SIDE
from lungsev.networks.settings import FusedSettings, SeveritySettings
from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import Scheme
from lungsev.system import atomic_file
from lungsev.train.console import in_threads, say
from lungsev.train.data import cache as image_cache
from lungsev.train.data.augmentation import GeometrySettings, apply_photometry, draw_geometry, draw_photometry
from lungsev.train.data.datasets import GradedImage
from lungsev.train.data.loaders import Key, generator_of, make_loader
from lungsev.train.data.preparation import ready_images, split_dataset, trunk_path
from lungsev.train.data.splits import split_images
from lungsev.train.evaluation.baseline import handcrafted_metrics
from lungsev.train.evaluation.breakdown import breakdown
from lungsev.train.evaluation.calibration import conformal_margin, fit_temperature, with_temperature
from lungsev.train.evaluation.predictions import Predictions, collect, summarise
from lungsev.train.evaluation.samples import keep
from lungsev.train.fitting.fit import fit, seed_weights
from lungsev.train.runs import Run, open_run
from lungsev.train.settings import LoopSettings, OptimiserSettings, Positive, Share
from lungsev.train.tasks.initial_weights import build_initial
from lungsev.train.tasks.severity import (
    SeverityModule,
    SeverityRunSettings,
    crop,
    load_dataset,
    reader_target,
    scheme_name,
)
from lungsev.train.tasks.spatial_normalizer import Trunk, image_thetas

MIRROR = np.diag([-1.0, 1.0, 1.0])[:2]
BANK_LIMIT_BYTES = 6 * 2**30
QUANTA = np.float32(65535.0)
BATCH = 16


class EnsembleSettings(SeverityRunSettings):
    """`lungsev-train ensemble`."""

    network: SeveritySettings = SeveritySettings(
        dim=0, position_aware=False, context=True, head="mlp", hidden=64, dropout=0.4, mirror=True
    )
    optimiser: OptimiserSettings = OptimiserSettings(
        lr=1e-3, backbone_lr_factor=0.3, weight_decay=1.0, gradient_clip=None, warmup_epochs=4
    )
    loop: LoopSettings = LoopSettings(epochs=40, batch_size=32, ema=0.97, keep="last")
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    first_reader: Share | None = 0.65
    still_norms: bool = True
    views: Annotated[int, Field(ge=2)] = 24  # of each image; the first two are plain and mirrored
    repeats: Positive = 3  # copies per fold whose weights are averaged
    final_alignment: Path | None = None  # the alignment run that ships; None: the one that was measured


@dataclass(frozen=True)
class Bank:
    """Every view of every image.

    Attributes:
        images: uint16 [N, V, S, S], 1/65535 of the grey range.
        mirrored: bool [N, V]; a mirrored view's regions have swapped sides.
        targets: float32 [N, R, G], unmirrored.
    """

    images: npt.NDArray[np.uint16]
    mirrored: npt.NDArray[np.bool_]
    targets: npt.NDArray[np.float32]

    def shown(self, rows: Sequence[int], view: int) -> Tensor:
        """float32 [len(rows), 1, S, S]."""
        return torch.from_numpy(self.images[list(rows), view].astype(np.float32) / QUANTA)[:, None]


class BankImages:
    """One view of each image per epoch, drawn anew."""

    def __init__(self, bank: Bank, rows: Sequence[int], scheme: Scheme, seed: int) -> None:
        self.bank, self.rows, self.swap, self.seed = bank, list(rows), list(scheme.flip_permutation), seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """image: float32 [1, S, S]; target float32 [R, G]; index."""
        row = self.rows[key[1]]
        view = int(generator_of(self.seed, key).integers(self.bank.images.shape[1]))
        target = self.bank.targets[row]
        if self.bank.mirrored[row, view]:
            target = target[self.swap]
        image = self.bank.shown([row], view)[0]
        return {"image": image, "target": torch.from_numpy(np.ascontiguousarray(target)), "index": key[1]}


def run_ensemble(settings: EnsembleSettings, run: Run) -> dict[str, Any]:
    """Make the views, train the folds, calibrate on the predictions out of fold; leave network.pt and metrics.json.

    Raises:
        ConfigError: An earlier stage is missing, or the views would not fit into memory.
        DatasetError: The folder is no dataset of graded images, or an image cannot be read.
    """
    if settings.network.mask_attention:
        raise ConfigError("network.mask_attention: the views hold no lung masks; set it to false")
    dataset = load_dataset(settings)
    scheme, split = dataset.scheme, settings.data.split
    network_settings = settings.network.model_copy(update={"schemes": (scheme_name(settings, dataset),)})
    settings = settings.model_copy(update={"network": network_settings})
    trunk = Trunk.load(trunk_path(settings.alignment, "align"))
    radiographs, prepared = ready_images(dataset.images, settings.data)
    cached = [prepared[radiograph.name] for radiograph in radiographs]
    thetas = image_thetas(trunk, cached, settings.data.cache)
    bank = make_views(radiographs, cached, thetas, scheme, settings)
    out_of_fold = np.zeros_like(bank.targets, dtype=np.float64)
    maps = np.zeros((len(radiographs), MAP_SIDE, MAP_SIDE), dtype=np.float32)
    held_back = []
    row_of = {radiograph.name: row for row, radiograph in enumerate(radiographs)}
    for fold in range(split.folds):
        folder = Run(run.path / f"fold-{fold}")
        folder.path.mkdir(parents=True, exist_ok=True)
        held_out = split.model_copy(update={"protocol": "kfold", "fold": fold, "validation": 0.0})
        parts = split_dataset(radiographs, held_out, folder).parts
        rows = {part: [row_of[name] for name in names] for part, names in parts.items()}
        network = averaged_network(bank, rows["train"], scheme, settings, folder, fold)
        out_of_fold[rows["test"]], maps[rows["test"]] = _predict(network, bank, rows["test"], scheme)
        held_back.append(rows["test"])
    predictions, calibration, temperature = _calibrated(scheme, radiographs, out_of_fold, bank, thetas, settings)
    predictions.save(run.path / "predictions-test.json")
    keep(predictions, cached, maps, None).save(run.path / "keepsakes-test.npz")
    summary = {**summarise(predictions, calibration), **breakdown(predictions, calibration)}
    plain = bank.shown(range(len(radiographs)), 0)[:, 0].numpy()
    summary["handcrafted"] = handcrafted_metrics(list(plain), predictions.reference, held_back, scheme)
    found = summary[settings.outcome.decision]
    say(
        f"Out of fold, {len(radiographs)} radiographs: accuracy {found['accuracy']:.3f}, MAE {found['mae']:.3f}, "
        f"kappa {found['kappa']:.3f}"
    )
    metrics = {
        "task": "severity",
        "scheme": scheme.name,
        "split": {
            "protocol": f"kfold-{split.folds}, then all images",
            "sha256": _all_images(radiographs, run, split.seed),
        },
        "calibration": {scheme.name: calibration.model_dump(mode="json")},
        "temperature": {scheme.name: temperature},
        "results": {"test": summary},
        **_earlier_stages(dataset.name, settings),
    }
    shipped, views = trunk, bank
    if settings.final_alignment is not None:
        shipped = Trunk.load(settings.final_alignment)
        views = make_views(radiographs, cached, image_thetas(shipped, cached, settings.data.cache), scheme, settings)
    network = averaged_network(views, range(len(radiographs)), scheme, settings, Run(run.path / "all"), split.folds)
    network.set_temperature(scheme.name, temperature)
    fused_settings = FusedSettings(
        segmentation=shipped.segmentation_settings, alignment=shipped.alignment_settings, severity=settings.network
    )
    save_checkpoint(run.path, fused_settings, shipped.fuse(network, settings.network))
    run.write_metrics(metrics)
    return metrics


def _all_images(radiographs: Sequence[GradedImage], run: Run, seed: int) -> str:
    """Leave the split that ships, which holds nothing back; returns its hash."""
    everyone = split_images(radiographs, "all", seed, validation=0.0)
    everyone.save(run.splits)
    return everyone.sha256


def _earlier_stages(graded: str, settings: EnsembleSettings) -> dict[str, Any]:
    """Data of all stages, and what segmentation and alignment scored on patients they had not seen."""
    align = _metrics_of(trunk_path(settings.alignment, "align"))
    segment = _metrics_of(Path(align["segmentation"])) if "segmentation" in align else {}
    weights = settings.initial.encoder_weights
    pretrain = _metrics_of(weights if weights.is_dir() else weights.parent) if weights is not None else {}
    sources = [graded, *(name for stage in (segment, pretrain) for name in stage.get("data", []))]
    measured = {"segmentation": segment, "alignment": align}
    return {
        "data": list(dict.fromkeys(sources)),
        **{name: stage.get("barred") or stage.get("validation") for name, stage in measured.items() if stage},
    }


def _metrics_of(folder: Path) -> dict[str, Any]:
    """metrics.json of an earlier run; empty where the weights came from elsewhere."""
    return Run(folder).metrics() if (folder / "metrics.json").is_file() else {}


def make_views(
    radiographs: Sequence[GradedImage],
    cached: Sequence[image_cache.CachedImage],
    thetas: npt.NDArray[np.float64],
    scheme: Scheme,
    settings: EnsembleSettings,
) -> Bank:
    """Every view of every image.

    Raises:
        ConfigError: There is no image, or they would not fit into memory.
    """
    if not radiographs:
        raise ConfigError("there is no image to train on")
    side = settings.network.crop_px
    images = _empty_bank((len(radiographs), settings.views, side, side))
    mirrored = np.zeros((len(radiographs), settings.views), dtype=bool)

    def fill(row: int) -> None:
        for view in range(settings.views):
            image, mirrored[row, view] = _view(cached[row], thetas[row], row, view, settings)
            images[row, view] = np.rint(image * QUANTA)

    in_threads(fill, len(radiographs), "Making views")
    return Bank(images, mirrored, np.stack([_target(radiograph, scheme, settings) for radiograph in radiographs]))


def _view(
    radiograph: image_cache.CachedImage, theta: npt.NDArray[np.float64], row: int, view: int, settings: EnsembleSettings
) -> tuple[npt.NDArray[np.float32], bool]:
    """One crop, and whether it is mirrored."""
    if view == 0:
        return crop(radiograph.canvas(), theta, settings.network), False
    if view == 1:
        return crop(radiograph.canvas(), compose(theta, MIRROR), settings.network), True
    generator = generator_of(settings.loop.seed, (view, row))
    geometry = draw_geometry(settings.geometry, generator)
    photometry = draw_photometry(settings.photometry, generator)
    image = crop(radiograph.canvas(), compose(theta, geometry.matrix()), settings.network)
    return apply_photometry(image, photometry), geometry.flip


def _empty_bank(shape: tuple[int, ...]) -> npt.NDArray[np.uint16]:
    size = 2 * int(np.prod(shape))
    if size > BANK_LIMIT_BYTES:
        raise ConfigError(
            f"the views of {shape[0]} images would take {size / 2**30:.0f} GB, at most {BANK_LIMIT_BYTES >> 30} "
            "are used: set views lower, or train with `lungsev-train brixia`, which reads images as it goes"
        )
    return np.empty(shape, dtype=np.uint16)


def _target(radiograph: GradedImage, scheme: Scheme, settings: EnsembleSettings) -> npt.NDArray[np.float32]:
    return reader_target(radiograph, scheme, settings, np.random.default_rng(settings.loop.seed))


def averaged_network(
    bank: Bank, rows: Sequence[int], scheme: Scheme, settings: EnsembleSettings, folder: Run, fold: int
) -> SeverityNetwork:
    """The mean of `repeats` copies trained on some images; copies that an earlier start left are taken over.

    Raises:
        ConfigError: The weights to start from do not fit.
    """
    seed_weights(settings.loop.seed)  # all copies of all folds start from the same weights, the heads' too
    network: SeverityNetwork = build_initial(settings.network, settings.initial).eval()
    copies = [Run(folder.path / f"copy-{repeat}") for repeat in range(settings.repeats)]
    if not all(copy.network.is_file() for copy in copies):
        _fit_scale(network, bank, rows)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    for repeat, copy in enumerate(copies):
        if not copy.network.is_file():
            network.cpu().load_state_dict(start)
            _train_copy(network, bank, rows, scheme, settings, copy, settings.loop.seed + 1 + 100 * fold + repeat)
    states = [torch.load(copy.network, map_location="cpu", weights_only=True) for copy in copies]
    network.cpu().load_state_dict(mean_of_weights(states))
    return network.eval()


def _train_copy(
    network: SeverityNetwork,
    bank: Bank,
    rows: Sequence[int],
    scheme: Scheme,
    settings: EnsembleSettings,
    run: Run,
    seed: int,
) -> None:
    loop = settings.loop.model_copy(update={"seed": seed})
    own = settings.model_copy(update={"loop": loop})
    open_run("ensemble", own, out=run.path)
    radiographs = BankImages(bank, rows, scheme, seed)
    loader = make_loader(radiographs, loop.batch_size, True, seed, 0, loop.accumulate)
    best = fit(SeverityModule(network, scheme, own), run, loader, None)
    with atomic_file(run.network) as file:
        torch.save(best.state_dict(), file)


def mean_of_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of every weight; what counts rather than weighs is the first one's."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def _fit_scale(network: SeverityNetwork, bank: Bank, rows: Sequence[int]) -> None:
    """Centre the features on those of the regions of the training images, plain and mirrored."""
    with torch.inference_mode():
        for member in network.members:
            pool = next(iter(member.scheme_heads.values())).pool
            pooled = [
                pool(member.upper(network.lower(bank.shown(batch.tolist(), view))).flatten(2).transpose(1, 2))
                for view in (0, 1)
                for batch in np.array_split(np.asarray(rows), -(-len(rows) // BATCH))
            ]
            member.scale.fit(torch.cat(pooled))


def _predict(
    network: SeverityNetwork, bank: Bank, rows: Sequence[int], scheme: Scheme
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Probabilities [len(rows), R, G] and maps of the plain views, as the fused network gives them."""
    with torch.inference_mode():
        said = [network(batch)[scheme.name] for batch in bank.shown(rows, 0).split(BATCH)]
    probabilities, maps = (torch.cat(parts) for parts in zip(*said, strict=True))
    return probabilities.double().numpy(), maps.numpy()


def _calibrated(
    scheme: Scheme,
    radiographs: Sequence[GradedImage],
    probabilities: npt.NDArray[np.float64],
    bank: Bank,
    thetas: npt.NDArray[np.float64],
    settings: EnsembleSettings,
) -> tuple[Predictions, Calibration, float]:
    outcome = settings.outcome
    temperature = fit_temperature(probabilities, bank.targets.astype(np.float64)) if outcome.temperature else 1.0
    predictions = collect(scheme, radiographs, with_temperature(probabilities, temperature), thetas)
    margin = conformal_margin(predictions, outcome.coverage)
    calibration = Calibration(decision=outcome.decision, coverage=outcome.coverage, interval_margin=margin)
    return predictions, calibration, temperature
