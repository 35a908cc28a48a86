"""Preparation of a training: from settings to images and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lungsev.errors import ConfigError, DatasetError
from lungsev.train.console import is_main_process, say, warn
from lungsev.train.data.cache import CachedImage, demand_readable, prepare
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.contract import AnyImage
from lungsev.train.data.duplicates import contradictions, find_twins, joined_patients, with_joined_patients
from lungsev.train.data.patient_spellings import rows_alike
from lungsev.train.data.splits import Split, Splittable, by_finding
from lungsev.train.data.stated_splits import make_split, saved_split
from lungsev.train.data.tables import summarise
from lungsev.train.runs import DEFAULT_ROOT, Run, newest_finished
from lungsev.train.settings import DataSettings, SplitSettings


def require_root(data: DataSettings) -> Path:
    """Return the dataset's folder.

    Raises:
        ConfigError: None was given.
    """
    if data.root is None:
        raise ConfigError("no dataset given: name its folder with --data DIR (or data.root in the config)")
    return data.root


def ready_images(images: Sequence[AnyImage], data: DataSettings) -> tuple[list[AnyImage], dict[str, CachedImage]]:
    """Return the images that can be read, and their prepared forms.

    Patients who share a picture, or are spelled alike, become one patient. One picture with different grades under two
    names is left out: nobody knows which of them are its own. Protocol `pafe` keeps both as published, since it is
    there to repeat a published split.

    Raises:
        DatasetError: An image cannot be read and may not be left out.
    """
    prepared = prepare(images, data.cache, workers=max(1, data.num_workers))
    for remark in demand_readable(prepared, data.skip_unreadable):
        warn(remark)
    readable = [image for image in images if image.name in prepared.images]
    twins = find_twins([prepared.images[image.name] for image in readable])
    keeps = data.split.protocol == "pafe"
    strangers = [(one, other) for one, other in twins if readable[one].patient != readable[other].patient]
    spelled = rows_alike([image.patient for image in readable])
    contradicted = {} if keeps else contradictions(readable, twins)
    treatment = "pafe keeps them apart, as published" if keeps else "they count as one patient"
    if strangers:
        names = ", ".join(f"{readable[one].name} = {readable[other].name}" for one, other in strangers[:3])
        warn(f"{len(strangers)} pictures come under two patients ({names}): {treatment}")
    if spelled:
        names = ", ".join(f"{readable[one].patient} = {readable[other].patient}" for one, other in spelled[:3])
        warn(f"{len(spelled)} patients have a second spelling ({names}): {treatment}")
    if not keeps:
        readable = with_joined_patients(readable, strangers)
    for remark in summarise(list(contradicted.values()), "pictures graded twice and differently, left out"):
        warn(remark)
    kept = [image for row, image in enumerate(readable) if row not in contradicted]
    return kept, {name: found for name, found in prepared.images.items() if name not in contradicted.values()}


def split_dataset(
    images: Sequence[Splittable],
    settings: SplitSettings,
    run: Run,
    findings: Sequence[str] = (),
    calibrated: bool = False,
) -> Split:
    """Return the split of a run: the one it was started with, or what the settings ask for; saved beside the run.

    Args:
        images: All that can be read.
        settings: Protocol and shares.
        run: Where the split is saved.
        findings: Only images with one of these train; all others become the test part.
        calibrated: What is trained is calibrated, so that a calibration part is set aside where none is asked for.

    Raises:
        DatasetError: A saved split names images that are not there, or as `make_split`.
    """
    if run.splits.is_file():
        split = saved_split(images, run.splits)
    else:
        split, remarks = make_split(images, settings)
        for remark in remarks:
            warn(remark)
        if findings:
            split = by_finding(images, split, findings)
    if is_main_process():
        split.save(run.splits)
    counts = ", ".join(f"{part} {len(names)}" for part, names in split.parts.items())
    say(f"Split {split.protocol} ({split.sha256[:12]}): {counts}")
    for reason, count in split.dropped.items():
        say(f"Left out: {count} {reason}")
    if split.shared_patients:
        say(f"note: {split.shared_patients} patients have images both in training and in a part that is measured")
    return split


def usable(images: Sequence[AnyImage], cached: Mapping[str, CachedImage], data: DataSettings) -> list[AnyImage]:
    """Return the images whose patients may be trained on here, under whatever name.

    Raises:
        DatasetError: None is left.
    """
    if data.exclude_patients_of is None:
        return list(images)
    own = [cached[image.name] for image in images]
    held_out = _held_out([image.patient for image in images], own, data.exclude_patients_of, data)
    kept = [image for image, stays_out in zip(images, held_out, strict=True) if not stays_out]
    if not kept:
        raise DatasetError(f"every image is of a patient of {data.exclude_patients_of}; nothing is left to train on")
    say(f"Left out: {len(images) - len(kept)} images of patients of {data.exclude_patients_of.name}")
    return kept


def _held_out(patients: Sequence[str], cached: Sequence[CachedImage], graded: Path, data: DataSettings) -> list[bool]:
    """Tell which rows are of a patient of `graded`, by name or because both have a picture in common."""
    theirs = load_graded(graded).images
    prepared = prepare(theirs, data.cache, workers=max(1, data.num_workers)).images
    readable = [image for image in theirs if image.name in prepared]
    twins = find_twins([*(prepared[image.name] for image in readable), *cached])
    everyone = [*(image.patient for image in readable), *patients]
    joined = joined_patients(everyone, [*twins, *rows_alike(everyone)])
    held_out = {image.patient for image in theirs} | set(joined[: len(readable)])
    return [patient in held_out for patient in joined[len(readable) :]]


def left_out(images: Sequence[AnyImage], kept: Sequence[AnyImage]) -> list[AnyImage]:
    """Return the images that `usable` did not keep: no stage has trained on their patients, so they measure it."""
    names = {image.name for image in kept}
    return [image for image in images if image.name not in names]


def upstream_run(path: Path | None, command: str) -> Path:
    """Return the run a later stage builds on: the one named, or the newest finished one of a command.

    Raises:
        ConfigError: There is none.
    """
    if path is not None:
        return path
    found = newest_finished((command,))
    if found is None:
        name = {"segment": "segmentation", "align": "alignment"}[command]
        more = ", or let it be trained from lung masks with --lungs DIR (--lungs synthetic for a trial)"
        more = more if command == "align" else ""
        raise ConfigError(
            f"no finished run under {DEFAULT_ROOT}/{command}: run `lungsev-train {command} --data DIR` first, "
            f"or name one with --set {name}=RUN{more}"
        )
    return found.path
