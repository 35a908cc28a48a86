"""`lungsev-train data check DIR`: describes a dataset, finds what is wrong with it, and says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungsev.errors import DatasetError
from lungsev.train.data.cache import Prepared, prepare
from lungsev.train.data.datasets import (
    Dataset,
    FindingsDataset,
    GradedDataset,
    GradedImage,
    LabelledDataset,
    MaskedDataset,
    PlacedDataset,
    load_all,
)
from lungsev.train.data.datasets.contract import Task
from lungsev.train.data.duplicates import contradictions, find_twins, with_joined_patients
from lungsev.train.data.masks import shows_both_lungs
from lungsev.train.data.patient_spellings import spelling_advice
from lungsev.train.data.splits import Split, describe_protocols, split_row
from lungsev.train.data.stated_splits import DEFAULT_FOLDS, make_split
from lungsev.train.dataset_check.description import (
    PER_MAKER,
    Table,
    agreement,
    consensus_table,
    findings_table,
    grade_shares,
    headers_of,
    image_tables,
    lines_of,
    maker_table,
    places_table,
    three_numbers,
    unknown_regions,
)
from lungsev.train.settings import SplitSettings

RARE = 0.05
FEW_PATIENTS = 20


@dataclass(frozen=True)
class Twin:
    """Two images that show one picture.

    Attributes:
        patients: One where both have the same.
        totals: What the first reader gave each, where images are graded.
        graded_differently: Some reader gave them different grades.
    """

    images: tuple[str, str]
    patients: tuple[str, ...]
    totals: tuple[float, float] | None
    graded_differently: bool = False

    def __str__(self) -> str:
        people = "one patient" if len(self.patients) == 1 else f"patients {self.patients[0]} and {self.patients[1]}"
        graded = "" if self.totals is None else f", totals {self.totals[0]:g} and {self.totals[1]:g}"
        return f"{self.images[0]} = {self.images[1]} ({people}{graded})"


@dataclass(frozen=True)
class Check:
    """Findings of a check. Every table is title -> {row: value}; `advice` says what to do."""

    name: str
    task: str
    images: int
    patients: int
    tables: dict[str, Table]
    unreadable: dict[str, str]
    duplicates: tuple[Twin, ...]
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The check as plain lines."""
        return [
            f"{self.name}: {self.images} images of {self.patients} patients ({self.task})",
            *(line for title, table in self.tables.items() for line in lines_of(title, table)),
            *(f"unreadable: {name}: {reason}" for name, reason in self.unreadable.items()),
            *(f"same picture: {twin}" for twin in self.duplicates),
            *(f"problem: {problem}" for problem in self.problems),
            *(f"do: {advice}" for advice in self.advice),
        ]


def check_folder(root: Path, cache: Path, workers: int = 1, scheme: str | None = None) -> list[Check]:
    """Look at a folder of graded images, of lung masks, of labelled images, or of several of these.

    Raises:
        DatasetError: It is none.
    """
    return [check_dataset(dataset, cache, workers) for dataset in load_all(root, scheme)]


def check_dataset(dataset: Dataset, cache: Path, workers: int = 1) -> Check:
    """Look at one dataset."""
    prepared = prepare(dataset.images, cache, workers=workers)
    images = [image for image in dataset.images if image.name in prepared.images]
    rows = find_twins([prepared.images[image.name] for image in images])
    twins = _twins(images, rows)
    people: list[Any] = with_joined_patients(images, rows)  # as a training counts them
    spelled_once: list[Any] = with_joined_patients(dataset.images, [])
    patients = len({image.patient for image in spelled_once})
    headers = headers_of(dataset.images)
    tables = {
        **_task_tables(dataset, prepared),
        **image_tables(spelled_once, prepared),
        PER_MAKER: maker_table(dataset.images, headers),
    }
    stated = _stated_split(people)
    splits = {
        **(split_row(stated) if isinstance(stated, Split) else {}),
        **(describe_protocols(people) if isinstance(dataset, GradedDataset) else {}),
    }
    if splits:
        tables["splits: images of each part, and patients who train and are measured"] = splits
    advice = [
        *_reading_advice(prepared, dataset),
        *_twin_advice(twins),
        *_patient_advice(dataset, patients),
        *spelling_advice(image.patient for image in dataset.images),
        *([f"the split: {stated}"] if isinstance(stated, DatasetError) else []),
        *_grade_advice(dataset, tables),
        *_polarity_advice(dataset, prepared, headers, tables),
    ]
    return Check(
        name=dataset.name,
        task=_task(dataset),
        images=len(dataset.images),
        patients=patients,
        tables=tables,
        unreadable=prepared.unreadable,
        duplicates=twins,
        problems=dataset.problems,
        advice=tuple(advice) or ("nothing: this dataset can be trained on as it is",),
    )


def _stated_split(images: Sequence[Any]) -> Split | DatasetError | None:
    """Return the split that the dataset's column states, or what is wrong with it; None where it states none."""
    if not any(getattr(image, "part", "") or getattr(image, "fold", "") for image in images):
        return None
    try:
        return make_split(images, SplitSettings(protocol="column"))[0]
    except DatasetError as error:
        return error


def _task(dataset: Dataset) -> Task:
    if isinstance(dataset, GradedDataset):
        return "severity"
    if isinstance(dataset, FindingsDataset):
        return "findings"
    if isinstance(dataset, PlacedDataset):
        return "places"
    return "labels" if isinstance(dataset, LabelledDataset) else "lungs"


def _task_tables(dataset: Dataset, prepared: Prepared) -> dict[str, Table]:
    if isinstance(dataset, LabelledDataset):
        return {}
    if isinstance(dataset, FindingsDataset):
        return {"images of each finding": findings_table(dataset)}
    if isinstance(dataset, PlacedDataset):
        return {"places: of the canvas where it is known": places_table(dataset, prepared)}
    if isinstance(dataset, GradedDataset):
        scheme = dataset.scheme
        totals = np.array([image.total for image in dataset.images])
        tables: dict[str, Table] = {
            f"share of each grade, {scheme.title}": grade_shares(dataset),
            "regions without a grade": unknown_regions(dataset),
            f"total of {scheme.total_min}-{scheme.total_max}": three_numbers(totals[~np.isnan(totals)]),
            "images per reader": {r: sum(r in image.readings for image in dataset.images) for r in dataset.readers},
            " against ".join(reversed(dataset.readers[:2])): agreement(dataset),
            "consensus images": consensus_table(dataset),
        }
        return {title: table for title, table in tables.items() if table}
    shares = np.array([float((image.mask() > 0).mean()) for image in prepared.images.values()])
    return {"lungs as a share of the canvas": three_numbers(shares)}


def _twins(images: Sequence[Any], twins: Sequence[tuple[int, int]]) -> tuple[Twin, ...]:
    found = []
    contradicted = contradictions(images, twins)
    for rows in twins:
        pair = images[rows[0]], images[rows[1]]
        graded = [image.total for image in pair if isinstance(image, GradedImage) and not math.isnan(image.total)]
        patients = tuple(dict.fromkeys(image.patient for image in pair))
        totals = (graded[0], graded[1]) if len(graded) == 2 else None
        found.append(Twin((pair[0].name, pair[1].name), patients, totals, rows[0] in contradicted))
    return tuple(found)


def _reading_advice(prepared: Prepared, dataset: Dataset) -> list[str]:
    advice = []
    if prepared.unreadable:
        advice.append(
            f"unreadable images ({len(prepared.unreadable)}): repair or remove them, or train without them by "
            "--set data.skip_unreadable=true"
        )
    if not isinstance(dataset, MaskedDataset):
        return advice
    one_sided = [name for name, image in prepared.images.items() if not shows_both_lungs(image.mask())]
    if one_sided:
        advice.append(f"masks that lack a lung ({len(one_sided)}, e.g. {one_sided[0]}): `align` leaves them out")
    return advice


def _twin_advice(twins: Sequence[Twin]) -> list[str]:
    advice = _advice_on_people(twins)
    contradicted = [twin for twin in twins if twin.graded_differently]
    if contradicted:
        advice.append(
            f"pictures graded twice and differently ({len(contradicted)}): training leaves both out; find out which "
            "grades are the picture's own, and remove the other row"
        )
    return advice


def _advice_on_people(twins: Sequence[Twin]) -> list[str]:
    strangers = [twin for twin in twins if len(twin.patients) > 1]
    if strangers:
        return [
            f"pictures under two patients ({len(strangers)}): training counts both as one patient, so that no split "
            "parts them; put the patients right in the table, and every program does"
        ]
    alike = [twin for twin in twins if not twin.graded_differently]
    if alike:
        return [f"pictures that come twice, of one patient each ({len(alike)}): harmless, but they count double"]
    return []


def _patient_advice(dataset: Dataset, patients: int) -> list[str]:
    strangers = sum(image.patient in (image.name, image.path.stem) for image in dataset.images)
    if strangers and any("without a patient" in problem for problem in dataset.problems):
        count = (
            "no patients are known" if strangers == len(dataset.images) else f"images without a patient ({strangers})"
        )
        return [f"{count}: add them to the table, else images of one patient may fall on two sides"]
    if patients < DEFAULT_FOLDS:
        return [
            f"patients are too few ({patients}) to hold any out: add some, {DEFAULT_FOLDS} are needed for --fold all"
        ]
    if patients < FEW_PATIENTS:
        return [f"patients are few ({patients}): measure with --protocol kfold --fold all"]
    return []


def _grade_advice(dataset: Dataset, tables: dict[str, Table]) -> list[str]:
    if not isinstance(dataset, GradedDataset):
        return []
    advice = []
    grades = np.rint([image.reference for image in dataset.images])
    grades = grades[~np.isnan(grades)]
    rare = [str(grade) for grade in dataset.scheme.grades if float((grades == grade).mean()) < RARE]
    if rare:
        advice.append(
            f"rare grades ({', '.join(rare)}, under 5 % of regions): --set balance=true samples rare totals more often"
        )
    leaking = tables.get("consensus images", {}).get("patients who have other images", 0)
    if leaking:
        advice.append(
            f"consensus patients with other images ({leaking}): report protocol leak_free; pafe trains on those other "
            "images, use it only to compare with the paper"
        )
    return advice


def _polarity_advice(
    dataset: Dataset, prepared: Prepared, headers: dict[str, tuple[str, str]], tables: dict[str, Table]
) -> list[str]:
    advice = []
    inverted = [name for name, image in prepared.images.items() if "polarity_doubtful" in image.notes]
    if inverted:
        advice.append(
            f"images that look inverted though no tag says so ({len(inverted)}, e.g. {inverted[0]}): look at them, and "
            "invert or remove those that are"
        )
    contradicted = [
        image.name
        for image in dataset.images
        if image.name in headers and getattr(image, "polarity", "") not in ("", headers[image.name][1])
    ]
    if contradicted:
        advice.append(
            f"images whose table and file disagree on polarity ({len(contradicted)}, e.g. {contradicted[0]}): "
            "the file is believed; is it the file the table speaks of?"
        )
    makers = [row for row in tables[PER_MAKER].values() if isinstance(row, dict)]
    fixed = [row for row in makers if max(row.values()) >= 0.95 * sum(row.values())]
    if len({polarity for row in makers for polarity in row}) > 1 and len(fixed) >= 2:
        advice.append(
            "polarity is almost fixed by the maker: lungsev turns images bone bright when it reads them, so train on "
            "what it reads and never on stored pixels, or the network learns the maker"
        )
    return advice
