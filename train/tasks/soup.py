"""`lungsev-train soup`: cross-validates a model soup, then trains the one that ships on all images.

A hundred images and one network that starts from what `pretrain` learned: each fold trains a few copies of it that
differ in the order of images and in dropout, and averages their weights (Wortsman et al. 2022: copies of one start
stay in one basin of the loss). Each image is graded by the soup that never saw its patient; these predictions are
the measurement, and calibrate what ships.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from lungsev.errors import ConfigError, DatasetError
from lungsev.geometry import changed
from lungsev.networks.checkpoint import save_checkpoint
from lungsev.networks.heads import MAP_SIDE
from lungsev.networks.settings import FusedSettings, SeveritySettings
from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import Scheme
from lungsev.system import atomic_file
from lungsev.train.console import say
from lungsev.train.data.augmentation import GeometrySettings, apply_intensity, draw_geometry, draw_intensity
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.crop_bank import BankImages, Crop, CropBank, fill_bank
from lungsev.train.data.datasets import GradedImage
from lungsev.train.data.loaders import generator_of, make_loader
from lungsev.train.data.preparation import ready_images, split_dataset, upstream_run
from lungsev.train.data.sampling import crop
from lungsev.train.data.splits import split_images
from lungsev.train.data.stated_splits import each_fold
from lungsev.train.evaluation.baseline import handcrafted_metrics
from lungsev.train.evaluation.breakdown import worst_images
from lungsev.train.evaluation.calibration import cross_fitted, fit_calibration
from lungsev.train.evaluation.predictions import Predictions, collect
from lungsev.train.evaluation.samples import report_samples
from lungsev.train.evaluation.summary import headline, summarise
from lungsev.train.fitting.device import device_of, run_batches
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import fit, seed_weights
from lungsev.train.provenance import note_end
from lungsev.train.runs import Run, open_run
from lungsev.train.settings import LoopSettings, OptimizerSettings, Positive, Share
from lungsev.train.tasks.cross_validation import FITTED_ON, cross_validate
from lungsev.train.tasks.initial_weights import build_initial
from lungsev.train.tasks.severity import (
    SeverityModule,
    SeverityRunSettings,
    load_dataset,
    reader_target,
    scheme_name,
)
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, image_masks, image_thetas

FLIP = np.diag([-1.0, 1.0, 1.0])[:2]
BATCH = 16


class SoupSettings(SeverityRunSettings):
    """`lungsev-train soup`."""

    network: SeveritySettings = SeveritySettings(
        dim=0, position_aware=False, context=True, head="mlp", hidden=64, dropout=0.4, flip_tta=True
    )
    optimizer: OptimizerSettings = OptimizerSettings(
        lr=1e-3, backbone_lr_factor=0.3, weight_decay=1.0, gradient_clip=None, warmup_epochs=4
    )
    loop: LoopSettings = LoopSettings(epochs=40, batch_size=32, ema=0.97, keep="last")
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    first_reader: Share | None = 0.65
    freeze_norms: bool = True
    augmentations: Annotated[int, Field(ge=2)] = 24  # of each image; the first two are plain, and plain and flipped
    repeats: Positive = 3  # copies per fold whose weights are averaged
    final_alignment: Path | None = None  # the alignment run that ships; None: the one that was measured


def run_soup(settings: SoupSettings, run: Run) -> dict[str, Any]:
    """Augment, train the folds, calibrate on the predictions out of fold; leave network.pt and metrics.json.

    Raises:
        ConfigError: An earlier stage is missing, or the augmented crops would not fit into memory.
        DatasetError: The folder is no dataset of graded images, or an image cannot be read.
    """
    if settings.network.mask_attention:
        raise ConfigError("network.mask_attention: augmented crops come without lung masks; set it to false")
    if settings.seeds > 1:
        raise ConfigError(
            "seeds: a soup averages the weights of `repeats` copies; train it again with another loop.seed"
        )
    if settings.network.neck == "bsnet":
        raise ConfigError("network.neck: a soup is made of aligned crops, which BS-Net does not use; set it to concat")
    dataset = load_dataset(settings)
    scheme = dataset.scheme
    network_settings = settings.network.model_copy(update={"schemes": (scheme_name(settings, dataset),)})
    settings = settings.model_copy(update={"network": network_settings})
    device = device_of(settings.loop.accelerator)
    normalizer = SpatialNormalizer.load(upstream_run(settings.alignment, "align"), device)
    images, prepared = ready_images(dataset.images, settings.data)
    cached = [prepared[image.name] for image in images]
    thetas = image_thetas(normalizer, cached, settings.data.cache)
    bank = augmented_crops(images, cached, thetas, scheme, settings)
    masks_of = partial(image_masks, normalizer, cache=settings.data.cache)
    graded, temperature = _measure(run, bank, images, cached, thetas, scheme, settings, masks_of)
    shipped = normalizer
    if settings.final_alignment is not None:
        shipped = SpatialNormalizer.load(settings.final_alignment, device)
        thetas = image_thetas(shipped, cached, settings.data.cache)
        bank = augmented_crops(images, cached, thetas, scheme, settings)
    folds = len(each_fold(images, settings.data.split))
    network = soup(bank, range(len(images)), scheme, settings, Run(run.path / "all"), folds)
    network.set_temperature(scheme.name, temperature)
    fused_settings = FusedSettings(
        segmentation=shipped.segmentation_settings, alignment=shipped.alignment_settings, severity=settings.network
    )
    save_checkpoint(run.path, fused_settings, shipped.fuse(network, settings.network))
    metrics = {
        "task": "severity",
        "scheme": scheme.name,
        "split": {
            "protocol": f"kfold-{folds}, then all images",
            "sha256": _all_images(images, run, settings.data.split.seed),
        },
        **graded,
        "temperature": {scheme.name: temperature},
        **earlier_stages((dataset.name,), settings.alignment, settings.initial.encoder_weights),
    }
    finish_run(run, metrics)
    return metrics


def _measure(
    run: Run,
    bank: CropBank,
    images: Sequence[GradedImage],
    cached: Sequence[CachedImage],
    thetas: npt.NDArray[np.float64],
    scheme: Scheme,
    settings: SoupSettings,
    masks_of: Callable[[Sequence[CachedImage]], npt.NDArray[np.uint8]],
) -> tuple[dict[str, Any], float]:
    """Grade each image by the soup that never saw its patient; return calibration, results and temperature.

    What ships is calibrated on all of these predictions; what is measured, for each fold on those of the others.
    """
    splits, chosen = each_fold(images, settings.data.split), settings.calibration
    row_of = {image.name: row for row, image in enumerate(images)}
    maps = np.zeros((len(images), MAP_SIDE, MAP_SIDE), dtype=np.float32)
    folds: list[list[int]] = []

    def grade_fold(fold: int, folder: Run) -> Predictions:
        folder.path.mkdir(parents=True, exist_ok=True)
        held_out = splits[fold].model_copy(update={"validation": 0.0, "calibration": 0.0})
        parts = split_dataset(images, held_out, folder).parts
        train, test = ([row_of[name] for name in parts[part]] for part in ("train", "test"))
        network = soup(bank, train, scheme, settings, folder, fold)
        probabilities, maps[test] = _predict(network, bank, test, scheme)
        folds.append(test)
        return collect(scheme, [images[row] for row in test], probabilities, thetas[test])

    found = cross_validate(run, len(splits), grade_fold)
    assert found is not None
    if len(found[0].names) < len(images):
        without = len(images) - len(found[0].names)
        raise DatasetError(f"{without} images have no fold, and soup grades every image once: fill the fold column")
    order = np.argsort([row for fold in folds for row in fold])  # the dataset's
    plain, fold_of = found[0].select(order), found[1][order]
    targets = bank.targets.astype(np.float64)
    shipped = fit_calibration(plain, chosen, targets)
    predictions = cross_fitted(plain, fold_of, chosen, targets)
    predictions.save(run.path / "predictions-test.json")
    report_samples(predictions, cached, maps, None, masks_of).save(run.path / "samples-test.npz")
    summary = {**summarise(predictions, "test"), "worst": worst_images(predictions)}
    crops = bank.crops(range(len(images)), 0)[:, 0].numpy()
    summary["handcrafted"] = handcrafted_metrics(list(crops), predictions, folds)
    say(f"Out of fold, {headline(predictions, 'test', ('accuracy', 'mae', 'kappa'))}")
    return {
        "calibration": {scheme.name: shipped.stated.model_dump(mode="json")},
        "calibration_fitted_on": FITTED_ON,
        "results": {"test": summary},
    }, shipped.temperature


def _all_images(images: Sequence[GradedImage], run: Run, seed: int) -> str:
    """Save the split that ships, which holds nothing out; return its hash."""
    everyone = split_images(images, "all", seed, validation=0.0)
    everyone.save(run.splits)
    return everyone.sha256


def earlier_stages(graded: Sequence[str], alignment: Path | None, weights: Path | None) -> dict[str, Any]:
    """Collect the data of all stages, and what segmentation and alignment scored on patients they had not seen."""
    align = _metrics_of(upstream_run(alignment, "align"))
    segment = _metrics_of(Path(align["segmentation"])) if "segmentation" in align else {}
    pretrain = _metrics_of(weights if weights.is_dir() else weights.parent) if weights is not None else {}
    sources = [*graded, *(name for stage in (segment, pretrain) for name in stage.get("data", []))]
    measured = {"segmentation": segment, "alignment": align}
    return {
        "data": list(dict.fromkeys(sources)),
        **{name: stage.get("held_out") or stage.get("validation") for name, stage in measured.items() if stage},
    }


def _metrics_of(folder: Path) -> dict[str, Any]:
    """Read metrics.json of an earlier run; empty where the weights came from elsewhere."""
    return Run(folder).metrics() if (folder / "metrics.json").is_file() else {}


def augmented_crops(
    images: Sequence[GradedImage],
    cached: Sequence[CachedImage],
    thetas: npt.NDArray[np.float64],
    scheme: Scheme,
    settings: SoupSettings,
) -> CropBank:
    """Make every augmented crop of every image.

    Raises:
        ConfigError: There is no image, or the crops would not fit into memory.
    """
    if not images:
        raise ConfigError("there is no image to train on")
    generator = np.random.default_rng(settings.loop.seed)
    targets = np.stack([reader_target(image, scheme, settings, generator) for image in images])

    def make_crop(row: int, augmentation: int) -> Crop:
        canvas, theta = cached[row].canvas(), thetas[row]
        if augmentation < 2:
            return crop(canvas, changed(theta, FLIP) if augmentation else theta, settings.network), augmentation == 1
        own = generator_of(settings.loop.seed, (augmentation, row))
        geometry, intensity = draw_geometry(settings.geometry, own), draw_intensity(settings.intensity, own)
        image = crop(canvas, changed(theta, geometry.matrix()), settings.network)
        return apply_intensity(image, intensity), geometry.flip

    return fill_bank(targets, settings.augmentations, settings.network.crop_px, make_crop)


def soup(
    bank: CropBank, rows: Sequence[int], scheme: Scheme, settings: SoupSettings, folder: Run, fold: int
) -> SeverityNetwork:
    """Average `repeats` copies trained on some images; copies that an earlier start left are taken over.

    Raises:
        ConfigError: The weights to start from do not fit.
    """
    seed_weights(settings.loop.seed)  # all copies of all folds start from the same weights, the heads' too
    network: SeverityNetwork = build_initial(settings.network, settings.initial).eval()
    network.to(device_of(settings.loop.accelerator))
    copies = [Run(folder.path / f"copy-{repeat}") for repeat in range(settings.repeats)]
    if not all(copy.network.is_file() for copy in copies):
        _fit_scale(network, bank, rows)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    for repeat, copy in enumerate(copies):
        if not copy.network.is_file():
            network.load_state_dict(start)
            _train_copy(network, bank, rows, scheme, settings, copy, settings.loop.seed + 1 + 100 * fold + repeat)
    states = [torch.load(copy.network, map_location="cpu", weights_only=True) for copy in copies]
    network.load_state_dict(mean_of_weights(states))
    return network.eval()


def _train_copy(
    network: SeverityNetwork,
    bank: CropBank,
    rows: Sequence[int],
    scheme: Scheme,
    settings: SoupSettings,
    run: Run,
    seed: int,
) -> None:
    loop = settings.loop.model_copy(update={"seed": seed})
    own = settings.model_copy(update={"loop": loop})
    open_run("soup", own, out=run.path)
    images = BankImages(bank, rows, scheme.flip_permutation, seed)
    loader = make_loader(images, loop.batch_size, True, seed, 0, loop.accumulate)
    best = fit(SeverityModule(network, scheme, own), run, loader, None)
    with atomic_file(run.network) as file:
        torch.save({name: value.cpu() for name, value in best.state_dict().items()}, file)
    note_end(run.path)
    run.remove_checkpoints()


def mean_of_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average every weight; counters, which are whole numbers, are those of the first."""
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def _fit_scale(network: SeverityNetwork, bank: CropBank, rows: Sequence[int]) -> None:
    """Centre the features on those of the regions of the training images, plain and flipped."""
    pool = next(iter(network.scheme_heads.values())).pool

    def pooled(augmentation: int) -> npt.NDArray[np.float32]:
        def work(images: Tensor) -> dict[str, Tensor]:
            return {"regions": pool(network.backbone(images).flatten(2).transpose(1, 2))}

        found = run_batches(
            network, list(rows), lambda chunk: bank.crops(chunk, augmentation).numpy(), work, batch=BATCH
        )
        return found["regions"]

    network.scale.fit(torch.from_numpy(np.concatenate([pooled(0), pooled(1)])))


def _predict(
    network: SeverityNetwork, bank: CropBank, rows: Sequence[int], scheme: Scheme
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Predict probabilities [len(rows), R, G] and maps of the plain crops, as the fused network does."""

    def work(images: Tensor) -> dict[str, Tensor]:
        probabilities, maps = network(images)[scheme.name]
        return {"probabilities": probabilities, "maps": maps}

    found = run_batches(network, list(rows), lambda chunk: bank.crops(chunk, 0).numpy(), work, batch=BATCH)
    return found["probabilities"].astype(np.float64), found["maps"]
