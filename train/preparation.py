"""From settings to films and split: what every training command does first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from lungsev.errors import ConfigError, DatasetError

from .console import is_main_process, say
from .datasets import GradedFilm, MaskedFilm, load_graded
from .runs import DEFAULT_ROOT, Run, newest_finished
from .settings import DataSettings, SplitSettings
from .splits import Split, Splittable, by_finding, split_films

Film = TypeVar("Film", bound=GradedFilm | MaskedFilm)


def require_root(data: DataSettings) -> Path:
    """The dataset's folder.

    Raises:
        ConfigError: None was given.
    """
    if data.root is None:
        raise ConfigError("no dataset given: name its folder with --data DIR (or data.root in the config)")
    return data.root


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


def usable(films: Sequence[Film], data: DataSettings) -> list[Film]:
    """Films whose patients may be trained on here.

    Raises:
        DatasetError: None is left.
    """
    if data.exclude_patients_of is None:
        return list(films)
    barred = {film.patient for film in load_graded(data.exclude_patients_of).films}
    kept = [film for film in films if film.patient not in barred]
    if not kept:
        raise DatasetError(f"every film is of a patient of {data.exclude_patients_of}; nothing is left to train on")
    say(f"Left out: {len(films) - len(kept)} films of patients of {data.exclude_patients_of.name}")
    return kept


def left_out(films: Sequence[Film], kept: Sequence[Film]) -> list[Film]:
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
        raise ConfigError(
            f"no finished run under {DEFAULT_ROOT}/{command}: run `lungsev-train {command} --data DIR` first, "
            f"or name one with --set {name}=RUN"
        )
    return found.path
