"""What a joint training is taught of every image: grades of each scheme, sums of each lung, a teacher's total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lungsev.errors import ConfigError
from lungsev.schemes import Scheme
from lungsev.train.console import say
from lungsev.train.data.tables import IMAGE_COLUMNS, find_column, number, read_table
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.tasks.joint.link import SIDES, fitted_link, linked, lung_grades, lung_sums
from lungsev.train.tasks.joint.settings import JointSettings, Link
from lungsev.train.tasks.joint.sources import JointSource
from lungsev.train.tasks.severity import reader_target

Array = npt.NDArray[np.float32]
STEPS = 60  # of the bisection that tilts a lung's distributions; halves an interval of 40 to nothing


@dataclass(frozen=True)
class Targets:
    """Of the images of one source, in its order.

    Attributes:
        grades: Scheme to distributions [N, R, G]; rows of zeros are unknown. Every scheme of the run is there.
        weights: Scheme to the weight of this source's grades; 0 where it has none.
        lung_totals: [N, 2] sum that the zones of the right and the left lung should have, NaN where unknown.
        teacher: [N] a teacher's total, NaN where unknown.
    """

    grades: Mapping[str, Array]
    weights: Mapping[str, float]
    lung_totals: Array
    teacher: Array


def targets_of(source: JointSource, schemes: Mapping[str, Scheme], settings: JointSettings) -> Targets:
    """Collect all that is known.

    Raises:
        ConfigError: A teacher's column or a file of pseudo grades is missing, or is of other images.
    """
    count, tie = len(source.images), settings.tie
    grades = {name: np.zeros((count, s.num_regions, s.num_grades), np.float32) for name, s in schemes.items()}
    weights = dict.fromkeys(schemes, 0.0)
    generator = np.random.default_rng(settings.loop.seed)
    for name, rows in source.graded.items():
        if name not in schemes:
            continue
        weights[name] = source.settings.weight
        for row, image in enumerate(rows):
            if image is not None:
                grades[name][row] = reader_target(image, schemes[name], source.settings, generator)
    lung_totals = np.full((count, 2), np.nan, np.float32)
    teacher = np.full(count, np.nan, np.float32)
    if tie is not None and tie.extent in source.graded and tie.opacity in source.graded:
        extent, opacity = (lung_grades(grades[name], schemes[name]) for name in (tie.extent, tie.opacity))
        lung_totals = linked(extent, opacity, tie)
        if tie.teacher_column:
            teacher = teacher_totals(source, tie.teacher_column)
    pseudo = source.settings.pseudo
    if pseudo is not None:
        name, soft = _pseudo_grades(source, schemes, lung_totals, pseudo.file)
        if weights[name]:
            raise ConfigError(f"source {source.key} has readers' grades of {name}: leave pseudo out")
        grades[name], weights[name] = soft, pseudo.weight
    return Targets(grades, weights, lung_totals, teacher)


def link_of(sources: Sequence[JointSource], schemes: Mapping[str, Scheme], settings: JointSettings) -> Link | None:
    """Return the link fitted on the training lungs of the tied scheme's sources; None where the table is given.

    Raises:
        ConfigError: `tie.link_from` did not grade them.
    """
    tie = settings.tie
    if tie is None or tie.link_from is None:
        return None
    found: list[list[npt.NDArray[np.float64]]] = []
    for source in sources:
        rows = [row for row in source.train if tie.scheme in source.graded and source.graded[tie.scheme][row]]
        if not rows:
            continue
        names = [source.images[row].name for row in rows]
        said = [_said(tie.link_from / grades_name(source.key, name), names) for name in (tie.extent, tie.opacity)]
        readers = targets_of(source, {tie.scheme: schemes[tie.scheme]}, settings.model_copy(update={"tie": None}))
        found.append([*said, lung_sums(readers.grades[tie.scheme][rows], schemes[tie.scheme])])
    extent, opacity, sums = (
        (np.concatenate(each) for each in zip(*found, strict=True)) if found else [np.empty((0, 2))] * 3
    )
    link = fitted_link(extent, opacity, sums, tie)
    rows_in_words = "; ".join(" ".join(f"{value:.1f}" for value in row) for row in link)
    say(f"Sum of a lung's zones by its extent (rows) and opacity, fitted on {len(sums)} images: {rows_in_words}")
    return link


def grades_name(source: str, scheme: str) -> str:
    """Return the file of a run that holds the network's grades of a source by a scheme that its readers did not use."""
    return f"grades-{source}-{scheme}.json"


def _said(path: Path, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the predicted grade of each lung of some images: [N, 2], NaN where the file lacks an image."""
    if not path.is_file():
        raise ConfigError(f"tie.link_from: {path} does not exist; expected a run with that source at share: 0")
    predictions = Predictions.load(path)
    grades = lung_grades(predictions.probabilities, predictions.scheme)
    row_of = {name: row for row, name in enumerate(predictions.names)}
    return np.array([grades[row_of[name]] if name in row_of else [np.nan, np.nan] for name in names])


def teacher_totals(source: JointSource, column: str) -> Array:
    """Return a column of the table of a source's folder that has it: [N], NaN where it says nothing.

    Raises:
        ConfigError: No table of the folder has the column beside one that names images.
    """
    root = source.images[0].path.parent
    tables = sorted({*root.glob("*.csv"), *root.parent.glob("*.csv")})
    for path in tables:
        try:
            table = read_table(path, (column,))
        except Exception:  # another table of the folder, of whatever form
            continue
        name = find_column(table.columns, IMAGE_COLUMNS)
        if name is None:
            continue
        said = {Path(row[name]).stem: number(row[column]) for row in table.rows}
        totals = [said.get(Path(image.name).stem) for image in source.images]
        say(f"Teacher of {source.key}: {path.name}, {column} of {sum(t is not None for t in totals)} images")
        return np.array([np.nan if total is None else total for total in totals], dtype=np.float32)
    raise ConfigError(f"tie.teacher_column: found no table with {column} and a column of images in {root.parent}")


def _pseudo_grades(
    source: JointSource, schemes: Mapping[str, Scheme], lung_totals: Array, path: Path
) -> tuple[str, Array]:
    if not path.is_file():
        raise ConfigError(f"pseudo.file: {path} does not exist; expected grades-<source>-<scheme>.json of a joint run")
    predictions = Predictions.load(path)
    scheme = predictions.scheme
    if scheme.name not in schemes:
        raise ConfigError(f"pseudo.file: {path} grades by {scheme.name}; this run trains {', '.join(schemes)}")
    row_of = {name: row for row, name in enumerate(predictions.names)}
    rows = [row_of.get(image.name) for image in source.images]
    if all(row is None for row in rows):
        raise ConfigError(f"pseudo.file: {path} holds none of the images of {source.key}")
    soft = np.zeros((len(rows), scheme.num_regions, scheme.num_grades), np.float32)
    for place, row in enumerate(rows):
        if row is not None:
            soft[place] = tilted(predictions.probabilities[row], scheme, lung_totals[place])
    return scheme.name, soft


def tilted(
    probabilities: npt.NDArray[np.float64], scheme: Scheme, totals: Sequence[float] | Array
) -> npt.NDArray[np.float64]:
    """Rescale the distributions of each lung so that their expected sum is what is known of it.

    All regions of a lung are tilted by one factor, p(g) * exp(t g): of all distributions with that sum these are the
    nearest to what was predicted (least relative entropy), so that what was said of where it is stays.

    Args:
        probabilities: [R, G].
        scheme: Of the regions.
        totals: Of the right and the left lung; NaN leaves a lung as it is.
    """
    grades = np.asarray(scheme.grades, dtype=np.float64)
    found = np.array(probabilities, dtype=np.float64)
    for side, total in zip(SIDES, totals, strict=True):
        rows = [row for row, region in enumerate(scheme.regions) if region.side == side]
        if np.isnan(total) or not rows:
            continue
        logits = np.log(np.clip(found[rows], 1e-4, None))
        low, high = -20.0, 20.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if (_softmax(logits + middle * grades) @ grades).sum() < total else (low, middle)
        found[rows] = _softmax(logits + low * grades)
    return found


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powered = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powered / powered.sum(axis=-1, keepdims=True))
