"""Datasets of a joint training: an image read once with all that is known of it, by grades, labels and outlines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import ConfigError, DatasetError
from lungsev.geometry import changed, warp
from lungsev.networks.settings import SeveritySettings
from lungsev.schemes import Scheme, load_scheme
from lungsev.train.console import say, warn
from lungsev.train.data.augmentation import apply_intensity, draw_geometry, draw_intensity
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.crop_bank import MAPS, StoredCrops, stored_crops
from lungsev.train.data.datasets import GradedImage, load_graded, load_labelled, load_masked, load_places
from lungsev.train.data.duplicates import find_twins, joined_patients
from lungsev.train.data.loaders import generator_of
from lungsev.train.data.preparation import ready_images, require_root, split_dataset
from lungsev.train.data.sampling import crop
from lungsev.train.runs import Run
from lungsev.train.tasks.image_labels import ImageLabels, labels_of, subsample
from lungsev.train.tasks.joint.settings import JointSettings, SourceSettings
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, image_thetas

MEASURED = ("validation", "calibration", "test", "consensus")
WHOLE = np.eye(3)[:2]


@dataclass(frozen=True)
class JointSource:
    """Images of one dataset and what is known of each.

    Attributes:
        images: One of each picture, of whatever kind; its name and patient count.
        cached: Their prepared forms.
        schemes: Scheme by name.
        graded: Per scheme the graded image of each row, None where it has no grade.
        labels: Of the rows, NaN where unknown; None where the source teaches none.
        parts: Rows of each part of the split.
    """

    settings: SourceSettings
    images: tuple[Any, ...]
    cached: tuple[CachedImage, ...]
    schemes: Mapping[str, Scheme]
    graded: Mapping[str, tuple[GradedImage | None, ...]]
    labels: ImageLabels | None
    parts: Mapping[str, tuple[int, ...]]

    @property
    def key(self) -> str:
        """Return its name in files and losses."""
        return self.settings.key

    @property
    def train(self) -> tuple[int, ...]:
        """Return the rows that train."""
        return self.parts.get("train", ())


def load_sources(settings: JointSettings, run: Run) -> list[JointSource]:
    """Load every source, split it by patient, and leave out of training whoever another source measures.

    Raises:
        DatasetError: A source cannot be read, or nothing of it is left to train on.
    """
    sources = [_split(_load(source, settings), settings, run) for source in settings.sources]
    return _without_measured(sources)


def _load(source: SourceSettings, settings: JointSettings) -> JointSource:
    data = settings.data_of(source)
    root = require_root(data)
    found: dict[Path, Any] = {}
    if source.places:
        placed = load_places(root)
        _note(placed.problems)
        found |= {image.path: image for image in placed.images}
    if source.lungs:
        masked = load_masked(root, source.layout)
        _note(masked.problems)
        found |= {image.path: image for image in masked.images}
    datasets = [load_graded(root, source.layout, name) for name in source.schemes]
    labels = None
    if source.labels:
        labelled = load_labelled(root)
        _note(labelled.problems)
        chosen = labels_of(labelled, source.findings, source.uncertain, source.unmentioned)
        labels = subsample(chosen, source.subsample, settings.loop.seed)
    for known in (*(dataset.images for dataset in datasets), labels.images if labels else ()):
        found = {image.path: image for image in known} | found
    for dataset in datasets:
        _note(dataset.problems)
    everything: list[Any] = list(found.values())
    images, prepared = ready_images(everything, data)
    row_of = {image.path: row for row, image in enumerate(images)}
    graded: dict[str, tuple[GradedImage | None, ...]] = {}
    for dataset in datasets:
        rows: list[GradedImage | None] = [None] * len(images)
        for image in dataset.images:
            if image.path in row_of:
                own = images[row_of[image.path]]
                rows[row_of[image.path]] = replace(image, name=own.name, patient=own.patient)
        graded[dataset.scheme.name] = tuple(rows)
    return JointSource(
        source,
        tuple(images),
        tuple(prepared[image.name] for image in images),
        {dataset.scheme.name: dataset.scheme for dataset in datasets},
        graded,
        None if labels is None else _by_row(labels, row_of, tuple(images)),
        {},
    )


def _by_row(labels: ImageLabels, row_of: Mapping[Path, int], images: tuple[Any, ...]) -> ImageLabels:
    values = np.full((len(images), len(labels.names)), np.nan, dtype=np.float32)
    for image, value in zip(labels.images, labels.values, strict=True):
        if image.path in row_of:
            values[row_of[image.path]] = value
    return ImageLabels(images, labels.names, values, labels.exclusive)


def _note(problems: Sequence[str]) -> None:
    for problem in problems:
        warn(problem)


def _split(source: JointSource, settings: JointSettings, run: Run) -> JointSource:
    if not source.settings.share:
        return replace(source, parts={"test": tuple(range(len(source.images)))})
    folder = Run(run.path / "sources" / source.key)
    folder.path.mkdir(parents=True, exist_ok=True)
    say(f"Source {source.key}: {len(source.images)} images")
    # The first scheme's grades balance the parts by severity.
    shown: list[Any] = [
        next((rows[row] for rows in source.graded.values() if rows[row] is not None), image)
        for row, image in enumerate(source.images)
    ]
    split = split_dataset(shown, settings.data_of(source.settings).split, folder)
    row_of = {image.name: row for row, image in enumerate(source.images)}
    return replace(source, parts={part: tuple(row_of[name] for name in names) for part, names in split.parts.items()})


def _without_measured(sources: list[JointSource]) -> list[JointSource]:
    """Leave out of each source's training the patients whom another one measures, by name or by a shared picture."""
    if len(sources) < 2:
        return sources
    everyone = [image.patient for source in sources for image in source.images]
    patients = joined_patients(everyone, find_twins([image for source in sources for image in source.cached]))
    starts = np.cumsum([0, *(len(source.images) for source in sources)])
    own = [patients[start : start + len(s.images)] for start, s in zip(starts, sources, strict=False)]
    measured = [
        {people[row] for part in MEASURED for row in source.parts.get(part, ())}
        for source, people in zip(sources, own, strict=True)
    ]
    left: list[JointSource] = []
    for place, (source, people) in enumerate(zip(sources, own, strict=True)):
        others = set().union(*(people for other, people in enumerate(measured) if other != place))
        kept = tuple(row for row in source.train if people[row] not in others)
        if len(kept) < len(source.train):
            say(f"Left out of {source.key}: {len(source.train) - len(kept)} images of patients whom another measures")
        if source.settings.share and not kept:
            raise DatasetError(f"every image of {source.key} is of a patient whom another source measures")
        left.append(replace(source, parts={**source.parts, "train": kept}))
    return left


def source_thetas(
    source: JointSource, normalizer: SpatialNormalizer, settings: JointSettings
) -> npt.NDArray[np.float64]:
    """Return the aligned frame of each image, or the whole canvas."""
    if source.settings.frame == "whole":
        return np.tile(WHOLE, (len(source.cached), 1, 1))
    return image_thetas(normalizer, source.cached, settings.cache)


def stored_source(source: JointSource, normalizer: SpatialNormalizer, settings: JointSettings) -> StoredCrops:
    """Return the augmented crops of a source, from the cache or made now."""
    network, own = settings.network, source.settings
    cached, thetas = source.cached, source_thetas(source, normalizer, settings)
    # Flips are made as crops are read, for nothing.
    geometry = (own.geometry or settings.geometry).model_copy(update={"flip": 0.0})
    tokens = network.crop_px // network.stride
    # Images that are only measured are seen as they are.
    augmentations = own.augmentations if own.share else 1
    digest = hashlib.sha256(thetas.tobytes())
    seen = (network.crop_px, network.oversample, tokens, settings.loop.seed, own.lungs, own.places, MAPS)
    digest.update(repr((seen, geometry, settings.intensity, [image.key for image in cached])).encode())
    path = settings.cache / "crops" / f"{source.key}-{augmentations}-{digest.hexdigest()[:24]}.bin"

    def make(row: int, augmentation: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        canvas, theta = cached[row].canvas(), thetas[row]
        places = place_maps(source, row)
        if augmentation == 0:
            return crop(canvas, theta, network), token_maps(places, theta, network)
        generator = generator_of(settings.loop.seed, (augmentation, row))
        moved = changed(theta, draw_geometry(geometry, generator).matrix())
        image = apply_intensity(crop(canvas, moved, network), draw_intensity(settings.intensity, generator))
        return image, token_maps(places, moved, network)

    return stored_crops(path, len(cached), augmentations, network.crop_px, tokens, make)


def place_maps(source: JointSource, row: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return what is known of places of an image, on its canvas: name in `MAPS` to [S, S] 0-1, NaN where unknown."""
    image = source.cached[row]
    if source.settings.lungs and image.mask_path is not None:
        return {"lung": (image.mask() > 0).astype(np.float32)}
    if source.settings.places and image.places_path is not None:
        return {"opacity": image.places()[0]}
    return {}


def token_maps(
    places: Mapping[str, npt.NDArray[np.float32]], theta: npt.NDArray[np.float64], network: SeveritySettings
) -> npt.NDArray[np.float32]:
    """Return the share of each token's cell that each map covers: [P, s, s], NaN where less than half is known."""
    tokens = network.crop_px // network.stride
    found = np.full((len(MAPS), tokens, tokens), np.nan, dtype=np.float32)
    for name, values in places.items():
        known = ~np.isnan(values)
        side = network.crop_px
        planes = [warp(np.nan_to_num(values), theta, side), warp(known.astype(np.float32), theta, side)]
        covered, seen = (cv2.resize(plane, (tokens, tokens), interpolation=cv2.INTER_AREA) for plane in planes)
        if known.all():  # what lies outside of the canvas is known to be nothing
            seen = np.ones_like(seen)
        share = np.clip(covered / np.maximum(seen, 1e-6), 0.0, 1.0)
        found[MAPS.index(name)] = np.where(seen > 0.5, share, np.float32(np.nan))
    return found


def order_of_schemes(sources: Sequence[JointSource], settings: JointSettings) -> dict[str, Scheme]:
    """Return the schemes that something teaches, those that `network.schemes` names first: the first is the main one.

    Raises:
        ConfigError: Two sources mean other scores by one name, or nothing is graded.
    """
    known: dict[str, Scheme] = {}
    tied = [settings.tie.scheme] if settings.tie is not None else []
    trained = [source for source in sources if source.settings.share]
    for scheme in (*(s for source in trained for s in source.schemes.values()), *map(load_scheme, tied)):
        if known.setdefault(scheme.name, scheme) != scheme:
            raise ConfigError(f"two sources mean different scores by {scheme.name}; rename one of their schemes")
    if not known:
        raise ConfigError("no source is graded by a scheme, and what this trains is a network that grades")
    first = [scheme.name for scheme in map(load_scheme, settings.network.schemes) if scheme.name in known]
    return {name: known[name] for name in dict.fromkeys((*first, *known))}
