"""One joint training: what is known is put together, a network is built and trained, its copies are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import read_network
from lungsev.networks.settings import FusedSettings
from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import Scheme, builtin_schemes, load_scheme
from lungsev.system import atomic_file
from lungsev.train.console import say
from lungsev.train.data.crop_bank import StoredCrops
from lungsev.train.data.loaders import make_loader
from lungsev.train.data.preparation import upstream_run
from lungsev.train.fitting.device import device_of, run_batches
from lungsev.train.fitting.fit import fit, seed_weights
from lungsev.train.provenance import note_end
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.initial_weights import build_initial
from lungsev.train.tasks.joint.images import HeldImages, JointImages
from lungsev.train.tasks.joint.measure import BATCH
from lungsev.train.tasks.joint.network import JointLearner, JointModule, Taught
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.joint.sources import (
    JointSource,
    load_sources,
    order_of_schemes,
    source_thetas,
    stored_source,
)
from lungsev.train.tasks.joint.targets import Targets, link_of, targets_of
from lungsev.train.tasks.soup import mean_of_weights
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer

EXTRAS = "extras.pt"  # heads that only train the trunk
SCALE_IMAGES = 512


@dataclass(frozen=True)
class Lessons:
    """All that a joint training learns from; lists are in the order of the sources."""

    settings: JointSettings
    normalizer: SpatialNormalizer
    sources: list[JointSource]
    schemes: dict[str, Scheme]
    targets: list[Targets]
    crops: list[StoredCrops]
    thetas: list[npt.NDArray[np.float64]]


def prepare(settings: JointSettings, run: Run) -> Lessons:
    """Read, split, align and augment the images of all sources.

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
    link = link_of(sources, schemes, settings)
    if link is not None and settings.tie is not None:
        settings = settings.model_copy(update={"tie": settings.tie.model_copy(update={"link": link})})
    targets = [targets_of(source, schemes, settings) for source in sources]
    crops = [stored_source(source, normalizer, settings) for source in sources]
    thetas = [source_thetas(source, normalizer, settings) for source in sources]
    return Lessons(settings, normalizer, sources, schemes, targets, crops, thetas)


def train(lessons: Lessons, run: Run) -> JointLearner:
    """Train `repeats` copies, which go on from the starts in turn, and average their weights; one trains in `run`."""
    settings = lessons.settings
    if settings.repeats == 1:
        return _trained(lessons, run, settings.loop.seed, 0)
    states = []
    for repeat in range(settings.repeats):
        copy = Run(run.path / f"copy-{repeat}")
        if not copy.network.is_file():
            say(f"Copy {repeat + 1} of {settings.repeats}")
            open_run("joint", settings.model_copy(update={"repeats": 1}), out=copy.path)
            learner = _trained(lessons, copy, settings.loop.seed + 1 + repeat, repeat)
            with atomic_file(copy.network) as file:
                torch.save({name: value.cpu() for name, value in learner.state_dict().items()}, file)
            note_end(copy.path)
            copy.remove_checkpoints()
        states.append(torch.load(copy.network, map_location="cpu", weights_only=True))
    averaged = _untrained(lessons, None)
    averaged.load_state_dict(mean_of_weights(states))
    return averaged.to(device_of(settings.loop.accelerator)).eval()


def _trained(lessons: Lessons, run: Run, seed: int, repeat: int) -> Any:
    starts = lessons.settings.starts
    start = starts[repeat % len(starts)] if starts else None
    learner = _untrained(lessons, start)
    if start is None and lessons.settings.initial.source is None:
        fit_scale(learner.severity, lessons.crops[0], lessons.sources[0].train)
    own = lessons.settings.model_copy(update={"loop": lessons.settings.loop.model_copy(update={"seed": seed})})
    module = JointModule(learner, lessons.schemes, _taught(lessons), own)
    images = JointImages(lessons.sources, lessons.crops, lessons.targets, lessons.schemes, own)
    _describe(lessons.sources, images, run)
    return fit(module, run, *_loaders(images, lessons.sources, own))


def _untrained(lessons: Lessons, start: Path | None) -> JointLearner:
    settings = lessons.settings
    seed_weights(settings.loop.seed)  # all copies begin with the same heads
    severity = build_initial(settings.network, settings.initial)
    trained = [source for source in lessons.sources if source.settings.share]
    learner = JointLearner(severity, {source.key: len(source.labels.names) for source in trained if source.labels})
    if start is not None:
        start_from(learner, start)
    return learner.to(device_of(settings.loop.accelerator))


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
    # Pooling is made for a side of the crop: where that is another, the one of the new network stays.
    fitting = {key: value for key, value in fitting.items() if ".pool." not in key and ".to_map." not in key}
    missing = [key for key in own if not key.startswith(heads) and key not in fitting]
    if missing:
        raise ConfigError(
            f"start: {source} holds another network: {len(missing)} weights of the trunk are missing or have another "
            f"shape, first {missing[0]}; give its settings under network"
        )
    learner.load_state_dict(fitting, strict=False)
    for name in learner.severity.scheme_heads:
        learner.severity.set_temperature(name, 1.0)
    kept = sorted({key.split(".")[2] for key in fitting if key.startswith(heads[0]) and ".classify." in key})
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


def _taught(lessons: Lessons) -> Taught:
    trained = [source for source in lessons.sources if source.settings.share]
    weights: Mapping[str, tuple[float, ...]] = {
        name: tuple(each.weights[name] for each in lessons.targets) for name in lessons.schemes
    }
    labels = {s.key: (s.labels.exclusive, s.settings.weight) for s in trained if s.labels}
    return Taught(weights, labels, tuple(source.settings.weight for source in lessons.sources))


def _loaders(images: JointImages, sources: Sequence[JointSource], settings: JointSettings) -> tuple[Any, Any]:
    loop = settings.loop
    training = make_loader(images, loop.batch_size, False, loop.seed, 0, loop.accumulate)
    held = HeldImages(images, sources)
    if not len(held):
        return training, None
    return training, make_loader(held, loop.batch_size, False, loop.seed, 0, loop.accumulate)


def _describe(sources: Sequence[JointSource], images: JointImages, run: Run) -> None:
    batch = ", ".join(
        f"{count} of {source.key} ({len(source.train)} images)"
        for count, source in zip(images.counts, sources, strict=True)
        if count
    )
    say(f"Joint training: {images.steps} steps an epoch, a batch holds {batch}; run {run.path}")
