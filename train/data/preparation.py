"""From settings to films and split: what every training command does first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lungsev.errors import ConfigError, DatasetError
from lungsev.train.console import is_main_process, say, warn
from lungsev.train.data.cache import CachedFilm, demand_readable, prepare
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.contract import AnyFilm
from lungsev.train.data.duplicates import find_twins, joined_patients
from lungsev.train.data.splits import Split, Splittable, by_finding, split_films
from lungsev.train.runs import DEFAULT_ROOT, Run, newest_finished
from lungsev.train.settings import DataSettings, SplitSettings


def require_root(data: DataSettings) -> Path:
    """The dataset's folder.

    Raises:
        ConfigError: None was given.
    """
    if data.root is None:
        raise ConfigError("no dataset given: name its folder with --data DIR (or data.root in the config)")
    return data.root


def ready_films(films: Sequence[AnyFilm], data: DataSettings) -> tuple[list[AnyFilm], dict[str, CachedFilm]]:
    """Films that can be read, and where each is prepared. Patients who share a picture become one patient.

    Protocol `pafe` keeps patients as published, since it is there to repeat a published split.

    Raises:
        DatasetError: A film cannot be read and may not be left out.
    """
    prepared = prepare(films, data.cache, workers=max(1, data.num_workers))
    for remark in demand_readable(prepared, data.skip_unreadable):
        warn(remark)
    readable = [film for film in films if film.name in prepared.films]
    twins = find_twins([prepared.films[film.name] for film in readable])
    strangers = [(one, other) for one, other in twins if readable[one].patient != readable[other].patient]
    if strangers:
        keeps = data.split.protocol == "pafe"
        names = ", ".join(f"{readable[one].name} = {readable[other].name}" for one, other in strangers[:3])
        fate = "pafe keeps them apart, as published" if keeps else "they count as one patient"
        warn(f"{len(strangers)} pictures come under two patients ({names}): {fate}")
        if not keeps:
            patients = joined_patients([film.patient for film in readable], strangers)
            readable = [replace(film, patient=patient) for film, patient in zip(readable, patients, strict=True)]
    return readable, prepared.films


def split_dataset(
    films: Sequence[Splittable], settings: SplitSettings, run: Run, findings: Sequence[str] = ()
) -> Split:
    """The split of a run: the one it was started with, one of a file, or a new one; saved beside the run.

    Args:
        findings: Only films with one of these train; all others become the test part.

    Raises:
        DatasetError: A saved split names films that are not there.
    """
    source = run.splits if run.splits.is_file() else settings.file
    if source is not None:
        split = Split.load(source)
        known = {film.name for film in films}
        missing = [name for names in split.parts.values() for name in names if name not in known]
        if missing:
            raise DatasetError(f"{source} names {len(missing)} films that are not in the dataset, first {missing[0]}")
    else:
        if settings.fold == "all":
            raise ValueError("fold `all` is a matter of the command, not of one run")
        split = split_films(
            films, settings.protocol, settings.seed, settings.folds, settings.fold, settings.validation, settings.test
        )
        if findings:
            split = by_finding(films, split, findings)
    if is_main_process():
        split.save(run.splits)
    counts = ", ".join(f"{part} {len(names)}" for part, names in split.parts.items())
    say(f"Split {split.protocol} ({split.sha256[:12]}): {counts}")
    for reason, count in split.dropped.items():
        say(f"Left out: {count} {reason}")
    if split.shared_patients:
        say(f"note: {split.shared_patients} patients have films both in training and in a part that is measured")
    return split


def usable(films: Sequence[AnyFilm], cached: Mapping[str, CachedFilm], data: DataSettings) -> list[AnyFilm]:
    """Films whose patients may be trained on here, whatever name a barred patient's picture has here.

    Raises:
        DatasetError: None is left.
    """
    if data.exclude_patients_of is None:
        return list(films)
    own = [cached[film.name] for film in films]
    barred = _barred([film.patient for film in films], own, data.exclude_patients_of, data)
    kept = [film for film, stays_out in zip(films, barred, strict=True) if not stays_out]
    if not kept:
        raise DatasetError(f"every film is of a patient of {data.exclude_patients_of}; nothing is left to train on")
    say(f"Left out: {len(films) - len(kept)} films of patients of {data.exclude_patients_of.name}")
    return kept


def _barred(patients: Sequence[str], cached: Sequence[CachedFilm], graded: Path, data: DataSettings) -> list[bool]:
    """Which rows are of a patient of `graded`, by name or because both have a picture in common."""
    theirs = load_graded(graded).films
    prepared = prepare(theirs, data.cache, workers=max(1, data.num_workers)).films
    readable = [film for film in theirs if film.name in prepared]
    twins = find_twins([*(prepared[film.name] for film in readable), *cached])
    joined = joined_patients([*(film.patient for film in readable), *patients], twins)
    barred = {film.patient for film in theirs} | set(joined[: len(readable)])
    return [patient in barred for patient in joined[len(readable) :]]


def left_out(films: Sequence[AnyFilm], kept: Sequence[AnyFilm]) -> list[AnyFilm]:
    """Films that `usable` did not keep: nobody here has trained on their patients, so they can be measured."""
    names = {film.name for film in kept}
    return [film for film in films if film.name not in names]


def trunk_path(path: Path | None, command: str) -> Path:
    """The run a later stage builds on: the one named, or the newest finished one of a command.

    Raises:
        ConfigError: There is none.
    """
    if path is not None:
        return path
    found = newest_finished((command,))
    if found is None:
        name = {"segment": "segmentation", "align": "alignment"}[command]
        more = ", or let it be trained from lung masks with --lungs DIR (--lungs drawn for a trial)"
        more = more if command == "align" else ""
        raise ConfigError(
            f"no finished run under {DEFAULT_ROOT}/{command}: run `lungsev-train {command} --data DIR` first, "
            f"or name one with --set {name}=RUN{more}"
        )
    return found.path
