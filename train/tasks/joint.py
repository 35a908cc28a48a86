"""`lungsev-train joint`: one trunk learns from several datasets at once, with a head for each scheme.

Zones of a hundred images say where, extent and opacity of thousands say how much, outlines and findings what to look
at: each image is taught what is known of it. Schemes of one lung tie those of its zones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import read_network, save_checkpoint
from lungsev.networks.settings import FusedSettings
from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import Scheme, builtin_schemes, load_scheme
from lungsev.system import atomic_file
from lungsev.train.console import is_main_process, say
from lungsev.train.data.crop_bank import StoredCrops
from lungsev.train.data.loaders import make_loader
from lungsev.train.data.preparation import upstream_run
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.predictions import collect
from lungsev.train.fitting.device import device_of, run_batches
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.fit import fit, seed_weights
from lungsev.train.runs import Run
from lungsev.train.tasks.initial_weights import build_initial
from lungsev.train.tasks.joint_images import HeldImages, JointImages
from lungsev.train.tasks.joint_measure import BATCH, held_back, measure_schemes, predict_crops
from lungsev.train.tasks.joint_network import JointLearner, JointModule, Taught
from lungsev.train.tasks.joint_settings import JointSettings
from lungsev.train.tasks.joint_sources import JointSource, load_sources, order_of_schemes, source_thetas, stored_source
from lungsev.train.tasks.joint_targets import Targets, targets_of
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer

EXTRAS = "extras.pt"  # heads that only train the trunk
SCALE_IMAGES = 512


def resolve(settings: JointSettings) -> JointSettings:
    """Name the run that the settings build on, so that a resumed run builds on the same."""
    return settings.model_copy(update={"alignment": upstream_run(settings.alignment, "align")})


def run_joint(settings: JointSettings, run: Run) -> dict[str, Any]:
    """Train, measure every scheme on what was held back of it; leave network.pt, predictions and metrics.json.

    Raises:
        ConfigError: An earlier stage is missing, or the settings do not fit each other.
        DatasetError: A source cannot be read.
    """
    if settings.network.mask_attention or settings.network.neck == "bsnet":
        raise ConfigError("network: joint training takes aligned crops alone; set mask_attention: false, neck: concat")
    device = device_of(settings.loop.accelerator)
    normalizer = SpatialNormalizer.load(upstream_run(settings.alignment, "align"), device)
    sources = load_sources(settings, run)
    schemes = order_of_schemes(sources, settings)
    names = tuple(_scheme_setting(name, settings) for name in schemes)
    settings = settings.model_copy(update={"network": settings.network.model_copy(update={"schemes": names})})
    seed_weights(settings.loop.seed)
    severity = build_initial(settings.network, settings.initial)
    trained = [source for source in sources if source.settings.share]
    labels = {source.key: len(source.labels.names) for source in trained if source.labels}
    learner = JointLearner(severity, labels)
    if settings.start is not None:
        start_from(learner, settings.start)
    targets = [targets_of(source, schemes, settings) for source in sources]
    crops = [stored_source(source, normalizer, settings) for source in sources]
    if settings.start is None and settings.initial.source is None:
        fit_scale(severity.to(device), crops[0], sources[0].train)
    module = JointModule(learner, schemes, _taught(sources, targets, schemes), settings)
    images = JointImages(sources, crops, targets, schemes, settings)
    _describe(sources, images, run)
    best: Any = fit(module, run, *_loaders(images, sources, settings))
    if not is_main_process():
        return {}
    network = best.severity
    thetas = [source_thetas(source, normalizer, settings) for source in sources]
    found = held_back(network, sources, crops, thetas, schemes)
    metrics = {
        "task": "severity",
        "data": [source.key for source in trained],
        **measure_schemes(network, found, schemes, settings.calibration, run.path),
        "split": _split_of(sources, run),
    }
    _grade_tied(network, sources, crops, thetas, schemes, settings, run)
    fused_settings = FusedSettings(
        segmentation=normalizer.segmentation_settings,
        alignment=normalizer.alignment_settings,
        severity=settings.network,
    )
    with atomic_file(run.path / EXTRAS) as file:
        torch.save({name: value.cpu() for name, value in best.extras().items()}, file)
    save_checkpoint(run.path, fused_settings, normalizer.fuse(network, settings.network))
    finish_run(run, metrics)
    return metrics


def start_from(learner: JointLearner, source: Path) -> None:
    """Take over the weights of an earlier run: its trunk, and the heads of schemes and labels that are the same.

    Raises:
        ConfigError: It holds another network.
    """
    _, state = read_network(source, FusedSettings)
    theirs = {key: value for key, value in state.items() if key.startswith("severity.")}
    extras = source / EXTRAS
    if extras.is_file():
        theirs |= torch.load(extras, map_location="cpu", weights_only=True)
    own = learner.state_dict()
    fitting = {key: value for key, value in theirs.items() if key in own and own[key].shape == value.shape}
    heads = ("severity.scheme_heads.", "severity.exact_maps.", "severity.flip_tta.", "label_heads.", "places.")
    missing = [key for key in own if not key.startswith(heads) and key not in fitting]
    if missing:
        raise ConfigError(
            f"start: {source} holds another network: {len(missing)} weights of the trunk are missing or have another "
            f"shape, first {missing[0]}; give its settings under network"
        )
    learner.load_state_dict(fitting, strict=False)
    for name in learner.severity.scheme_heads:
        learner.severity.set_temperature(name, 1.0)
    kept = sorted({key.split(".")[2] for key in fitting if key.startswith(heads[0])})
    say(f"Starting from {source}: its trunk, and its heads of {', '.join(kept) or 'no scheme'}")


def fit_scale(severity: SeverityNetwork, crops: StoredCrops, rows: Sequence[int]) -> None:
    """Centre the features on those of the regions of training images, plain and flipped."""
    chosen = np.random.default_rng(0).permutation(rows)[:SCALE_IMAGES].tolist()
    pool = next(iter(severity.scheme_heads.values())).pool
    severity.eval()

    def pooled(flips: bool) -> Any:
        def load(chunk: Sequence[int]) -> Any:
            planes = np.stack([crops.image(row, 0) for row in chunk])[:, None]
            return np.ascontiguousarray(planes[..., ::-1]) if flips else planes

        def work(images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"regions": pool(severity.backbone(images).flatten(2).transpose(1, 2))}

        return run_batches(severity, chosen, load, work, batch=BATCH)["regions"]

    severity.scale.fit(torch.from_numpy(np.concatenate([pooled(False), pooled(True)])))


def _scheme_setting(name: str, settings: JointSettings) -> str:
    """Return how the network's settings name a scheme: a built-in name, or the path that the settings give."""
    if name in builtin_schemes():
        return name
    given = [*settings.network.schemes, *(path for source in settings.sources for path in source.schemes)]
    given += [settings.tie.scheme] if settings.tie else []
    return next(str(Path(path).resolve()) for path in given if load_scheme(path).name == name)


def _taught(sources: Sequence[JointSource], targets: Sequence[Targets], schemes: Mapping[str, Scheme]) -> Taught:
    trained = [source for source in sources if source.settings.share]
    return Taught(
        {name: tuple(each.weights[name] for each in targets) for name in schemes},
        {s.key: (s.labels.exclusive, s.settings.weight) for s in trained if s.labels},
        tuple(source.settings.weight for source in sources),
    )


def _loaders(images: JointImages, sources: Sequence[JointSource], settings: JointSettings) -> tuple[Any, Any]:
    loop = settings.loop
    train = make_loader(images, loop.batch_size, False, loop.seed, 0, loop.accumulate)
    held = HeldImages(images, sources)
    if not len(held):
        return train, None
    return train, make_loader(held, loop.batch_size, False, loop.seed, 0, loop.accumulate)


def _describe(sources: Sequence[JointSource], images: JointImages, run: Run) -> None:
    batch = ", ".join(
        f"{count} of {source.key} ({len(source.train)} images)"
        for count, source in zip(images.counts, sources, strict=True)
        if count
    )
    say(f"Joint training: {images.steps} steps an epoch, a batch holds {batch}; run {run.path}")


def _split_of(sources: Sequence[JointSource], run: Run) -> dict[str, Any]:
    """Keep the first source's split as the run's, and say the hash of each."""
    stated = {s.key: Split.load(run.path / "sources" / s.key / "splits.json") for s in sources if s.settings.share}
    first = stated[sources[0].key]
    first.save(run.splits)
    return {
        "protocol": "; ".join(f"{key}: {split.protocol}" for key, split in stated.items()),
        "sha256": first.sha256,
        "sources": {key: split.sha256 for key, split in stated.items()},
        "shared_patients": sum(split.shared_patients for split in stated.values()),
    }


def _grade_tied(
    network: Any,
    sources: Sequence[JointSource],
    crops: Sequence[StoredCrops],
    thetas: Sequence[Any],
    schemes: Mapping[str, Scheme],
    settings: JointSettings,
    run: Run,
) -> None:
    """Save the tied scheme's grades of every image of the sources that tie it: what self-training starts from."""
    tie = settings.tie
    if tie is None:
        return
    for source, own, theta in zip(sources, crops, thetas, strict=True):
        if tie.extent in source.graded and tie.scheme not in source.graded:
            rows = list(range(len(source.images)))
            probabilities = predict_crops(network, own, rows, f"Grading {source.key} by {tie.scheme}")[tie.scheme]
            images = [replace(image, readings={}) for image in source.images]
            collect(schemes[tie.scheme], images, probabilities, theta).save(
                run.path / f"grades-{source.key}-{tie.scheme}.json"
            )
