"""`lungsev-train data check DIR`: what a dataset holds, what is wrong with it, and what to do about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import DatasetError
from lungsev.metrics import severity_metrics

from .cache import CachedFilm, Prepared, prepare
from .canonical import shows_both_lungs
from .datasets import GradedDataset, MaskedDataset, load_graded, load_masked
from .datasets.contract import Task
from .splits import split_films

ALIKE = 0.998  # correlation of two films' thumbnails above which they are taken for one picture


@dataclass(frozen=True)
class Check:
    """Findings of a check. Every table is title -> {row: value}; `advice` says what to do."""

    name: str
    task: str
    films: int
    patients: int
    tables: dict[str, dict[str, Any]]
    unreadable: dict[str, str]
    duplicates: tuple[tuple[str, str, bool], ...]  # two films, and whether they are of different patients
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The check as plain lines."""
        text = [f"{self.name}: {self.films} films of {self.patients} patients ({self.task})"]
        for title, table in self.tables.items():
            text.append(f"{title}:")
            text.extend(f"  {row}: {_shown(value)}" for row, value in table.items())
        text.extend(f"unreadable: {name}: {reason}" for name, reason in self.unreadable.items())
        for first, second, strangers in self.duplicates:
            text.append(f"same picture: {first} = {second}{' (different patients)' if strangers else ''}")
        text.extend(f"problem: {problem}" for problem in self.problems)
        text.extend(f"do: {advice}" for advice in self.advice)
        return text


def check_folder(root: Path, cache: Path, workers: int = 1, scheme: str | None = None) -> list[Check]:
    """Look at a folder of graded films, of lung masks, or of both.

    Raises:
        DatasetError: It is neither.
    """
    return [check_dataset(dataset, cache, workers) for dataset in _load_all(root, scheme)]


def check_dataset(dataset: GradedDataset | MaskedDataset, cache: Path, workers: int = 1) -> Check:
    """Look at one dataset."""
    prepared = prepare(dataset.films, cache, workers=workers)
    duplicates = _duplicates(dataset, prepared)
    if isinstance(dataset, GradedDataset):
        task: Task = "severity"
        tables, advice = _graded_tables(dataset, prepared)
    else:
        task = "lungs"
        tables, advice = _masked_tables(dataset, prepared)
    advice += _common_advice(dataset, prepared, duplicates)
    return Check(
        name=dataset.name,
        task=task,
        films=len(dataset.films),
        patients=len({film.patient for film in dataset.films}),
        tables=tables,
        unreadable=prepared.unreadable,
        duplicates=duplicates,
        problems=dataset.problems,
        advice=tuple(advice) or ("nothing: this dataset can be trained on as it is",),
    )


def _load_all(root: Path, scheme: str | None) -> list[GradedDataset | MaskedDataset]:
    found: list[GradedDataset | MaskedDataset] = []
    errors = []
    for load in (lambda: load_graded(root, scheme=scheme), lambda: load_masked(root)):
        try:
            found.append(load())
        except DatasetError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _graded_tables(dataset: GradedDataset, prepared: Prepared) -> tuple[dict[str, dict[str, Any]], list[str]]:
    scheme, films = dataset.scheme, dataset.films
    grades = np.array([film.reference for film in films])
    tables: dict[str, dict[str, Any]] = {
        "share of each grade": {
            region.code: {str(grade): float((np.rint(grades[:, index]) == grade).mean()) for grade in scheme.grades}
            for index, region in enumerate(scheme.regions)
        },
        f"total ({scheme.total_min}-{scheme.total_max})": dict(
            zip(("lowest", "median", "highest"), _range(grades.sum(axis=1)), strict=True)
        ),
        "films per patient": _counts([len(group) for group in _by_patient(dataset).values()]),
        "readings": {reader: sum(reader in film.readings for film in films) for reader in dataset.readers},
        **_describe(dataset, prepared),
    }
    advice = []
    overall = {grade: float((np.rint(grades) == grade).mean()) for grade in scheme.grades}
    rare = [str(grade) for grade, share in overall.items() if share < 0.05]
    if rare:
        advice.append(
            f"grade {', '.join(rare)} is under 5 % of all regions: --set balance=true draws rare totals more often"
        )
    agreement = _agreement(dataset)
    if agreement:
        tables["second reader against the first"] = agreement
    advice += _polarity_advice(tables)
    advice += _consensus_advice(dataset, tables)
    return tables, advice


def _masked_tables(dataset: MaskedDataset, prepared: Prepared) -> tuple[dict[str, dict[str, Any]], list[str]]:
    lungs, one_sided = [], []
    for name, film in prepared.films.items():
        labels = film.mask()
        lungs.append(float((labels > 0).mean()))
        if not shows_both_lungs(labels):
            one_sided.append(name)
    tables: dict[str, dict[str, Any]] = {
        "lungs as a share of the canvas": dict(
            zip(("lowest", "median", "highest"), _range(np.array(lungs)), strict=True)
        ),
        "films per patient": _counts([len(group) for group in _by_patient(dataset).values()]),
        **_describe(dataset, prepared),
    }
    advice = []
    if one_sided:
        advice.append(f"{len(one_sided)} masks lack a lung ({', '.join(one_sided[:3])}): `align` leaves them out")
    return tables, advice


def _describe(dataset: GradedDataset | MaskedDataset, prepared: Prepared) -> dict[str, dict[str, Any]]:
    films = dataset.films
    views = [film.view or (_info(prepared, film.name, "view") or "not said") for film in films]
    sizes = [f.info.columns for f in prepared.films.values() if f.info.columns]
    tables: dict[str, dict[str, Any]] = {"views": _counts(views)}
    findings = _counts([film.finding or "not said" for film in films])
    if len(findings) > 1:
        tables["findings"] = findings
    if sizes:
        tables["columns of a film"] = dict(zip(("lowest", "median", "highest"), _range(np.array(sizes)), strict=True))
    notes = Counter(note for film in prepared.films.values() for note in film.notes)
    if notes:
        tables["remarks of the reading"] = dict(notes.most_common())
    makers: dict[str, Counter[str]] = defaultdict(Counter)
    for film in films:
        maker, polarity = getattr(film, "maker", ""), getattr(film, "polarity", "")
        if maker or polarity:
            makers[maker or "not said"][polarity or "not said"] += 1
    if makers:
        tables["polarity per maker"] = {maker: dict(counts.most_common()) for maker, counts in sorted(makers.items())}
    return tables


def _polarity_advice(tables: dict[str, dict[str, Any]]) -> list[str]:
    makers = tables.get("polarity per maker", {})
    fixed = [maker for maker, counts in makers.items() if max(counts.values()) >= 0.95 * sum(counts.values())]
    both = {polarity for counts in makers.values() for polarity in counts}
    if len(both) > 1 and len(fixed) >= 2:
        return [
            "polarity is almost fixed by the maker: films are turned bone bright when they are read, so never train on "
            "stored pixels, or the network learns the maker"
        ]
    return []


def _consensus_advice(dataset: GradedDataset, tables: dict[str, dict[str, Any]]) -> list[str]:
    consensus = [film for film in dataset.films if film.subset == "consensus"]
    if not consensus:
        return []
    patients = {film.patient for film in consensus}
    others = [film for film in dataset.films if film.subset != "consensus" and film.patient in patients]
    leaking = len({film.patient for film in others})
    tables["consensus films"] = {
        "films": len(consensus),
        "patients": len(patients),
        "of them with films in the training pool": leaking,
        "films to drop for a leak-free test": len(others),
    }
    try:
        shared = split_films(dataset.films, "pafe").shared_patients
    except DatasetError:
        shared = 0
    tables["consensus films"]["patients across sides with protocol pafe"] = shared
    if not leaking:
        return []
    return [
        f"{leaking} consensus patients have other films: report protocol leak_free, pafe only to compare with the paper"
    ]


def _common_advice(
    dataset: GradedDataset | MaskedDataset, prepared: Prepared, duplicates: Sequence[tuple[str, str, bool]]
) -> list[str]:
    advice = []
    if prepared.unreadable:
        advice.append(
            f"{len(prepared.unreadable)} films cannot be read: repair them, or --set data.skip_unreadable=true"
        )
    strangers = sum(different for _, _, different in duplicates)
    if strangers:
        advice.append(f"{strangers} pictures appear under two patients: give both the same patient, or a split leaks")
    elif duplicates:
        advice.append(f"{len(duplicates)} pictures appear twice, of one patient each: harmless, but they count double")
    patients = {film.patient for film in dataset.films}
    if len(patients) == len(dataset.films) and any("patient" in problem for problem in dataset.problems):
        advice.append("no patients are known: add them to the table, else films of one patient may fall on two sides")
    if len(patients) < 20:
        advice.append(f"{len(patients)} patients are few: measure with --protocol kfold --fold all")
    return advice


def _agreement(dataset: GradedDataset) -> dict[str, Any]:
    readers = dataset.readers
    if len(readers) < 2:
        return {}
    both = [film for film in dataset.films if readers[0] in film.readings and readers[1] in film.readings]
    pairs = [np.rint([film.readings[reader] for film in both]) for reader in readers[:2]]
    if not both:
        return {}
    found = severity_metrics(pairs[0], pairs[1], dataset.scheme.grades)
    return {
        "films": found.films,
        "accuracy": found.accuracy,
        "MAE": found.mae,
        "kappa": found.kappa,
        "total MAE": found.total_mae,
        "total r": found.total_correlation,
    }


def _duplicates(dataset: GradedDataset | MaskedDataset, prepared: Prepared) -> tuple[tuple[str, str, bool], ...]:
    """Pairs of films that show one picture, by the correlation of small thumbnails."""
    films = [film for film in dataset.films if film.name in prepared.films]
    if len(films) < 2:
        return ()
    thumbs = np.stack([_thumbnail(prepared.films[film.name]) for film in films])
    pairs = []
    for row in range(len(films) - 1):  # row by row: all pairs of a large dataset would not fit in memory
        alike = np.flatnonzero(thumbs[row + 1 :] @ thumbs[row] > ALIKE) + row + 1
        for other in alike:
            first, second = films[row], films[int(other)]
            pairs.append((first.name, second.name, first.patient != second.patient))
    return tuple(pairs)


def _thumbnail(film: CachedFilm) -> npt.NDArray[np.float32]:
    small = cv2.resize(film.canvas(), (32, 32), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), dtype=np.float32)


def _info(prepared: Prepared, name: str, field: str) -> Any:
    film = prepared.films.get(name)
    return getattr(film.info, field) if film is not None else None


def _by_patient(dataset: GradedDataset | MaskedDataset) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for film in dataset.films:
        groups[film.patient].append(film.name)
    return groups


def _counts(values: Sequence[Any]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items(), key=lambda pair: str(pair[0]))}


def _range(values: npt.NDArray[Any]) -> tuple[float, float, float]:
    return (float(values.min()), float(np.median(values)), float(values.max())) if len(values) else (0.0, 0.0, 0.0)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
