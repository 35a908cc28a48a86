"""Evidence of change: which of a model's totals, alone or together, tell best what the readers see change.

A model may score several schemes in one pass, e.g. Brixia's total and the extent of each lung: their errors are not the
same, so that together they can tell a change better than the one total that is shown. What counts as better is found on
the patients that are fitted on, never on those that a figure is shown for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from lungsev.train.evaluation.change.courses import Course, CourseImage, consecutive_pairs, fold_of
from lungsev.train.evaluation.change.intervals import correlation_of

_INNER_FOLDS = 4
_RIDGE = (
    0.01  # of the variance of each scheme's changes: keeps the weights of schemes that say the same apart from noise
)
_GAIN = 0.01  # in the correlation of changes, that more schemes must bring


@dataclass(frozen=True)
class Evidence:
    """Weights of the schemes' expected totals, and an offset to the scale of the shown total.

    Attributes:
        weights: Scheme and the points that one point of its total counts; empty: the shown scheme's total alone.
    """

    weights: tuple[tuple[str, float], ...] = ()
    offset: float = 0.0

    def schemes(self, shown: str) -> tuple[str, ...]:
        """Return the names of the schemes it uses."""
        return tuple(name for name, _ in self.weights) or (shown,)


def candidates(schemes: Sequence[str], shown: str) -> list[tuple[str, ...]]:
    """Return the sets of schemes to compare: the shown one, each other, all others together, all; simple ones first."""
    others = tuple(name for name in schemes if name != shown)
    every = [(shown,), *((name,) for name in others), others, (shown, *others)]
    return list(dict.fromkeys(names for names in every if names))


def choose_evidence(courses: Sequence[Course], truth: str, shown: str) -> tuple[Evidence, dict[str, dict[str, Any]]]:
    """Return the best evidence, fitted to all these courses, and how the changes of each agree with the readers'.

    The agreement is measured on inner folds of patients. More schemes must agree better to be preferred.
    """
    schemes = [*courses[0][0].schemes] if courses else []
    agreement = {names: _agreement(courses, truth, shown, names) for names in candidates(schemes, shown)}
    best: tuple[str, ...] = (shown,)
    for names, row in agreement.items():
        if (row["rate"] or 0.0) > (agreement[best]["rate"] or 0.0) + _GAIN:
            best = names
    return fit_evidence(courses, truth, shown, best), {" + ".join(names): row for names, row in agreement.items()}


def fit_evidence(courses: Sequence[Course], truth: str, shown: str, names: Sequence[str]) -> Evidence:
    """Fit weights that are not negative to the readers' mean changes between consecutive images.

    They are scaled so that over the images the sum has mean and spread of the shown scheme's total.
    """
    if tuple(names) == (shown,):
        return Evidence()
    weights = np.ones(1)
    if len(names) > 1:
        pairs = [(pair, moved) for pair in consecutive_pairs(courses) if (moved := pair.mean_change(truth)) is not None]
        changes = _totals([pair.after for pair, _ in pairs], names) - _totals([pair.before for pair, _ in pairs], names)
        weights = _not_negative(changes, np.array([moved for _, moved in pairs]))
    images = [image for course in courses for image in course]
    summed, total = _totals(images, names) @ weights, _totals(images, (shown,))[:, 0]
    scale = float(total.std() / max(summed.std(), 1e-9))
    used = tuple((name, round(float(w * scale), 6)) for name, w in zip(names, weights, strict=True) if w > 0)
    return Evidence(used, round(float(total.mean() - scale * summed.mean()), 6))


def with_evidence(courses: Iterable[Course], evidence: Evidence) -> list[Course]:
    """Return the courses with the total that the evidence makes of each image; its points stay as they are shown."""
    return [tuple(_weighed(image, evidence) for image in course) for course in courses]


def _weighed(image: CourseImage, evidence: Evidence) -> CourseImage:
    if not evidence.weights:
        return image
    mean = evidence.offset + sum(weight * image.schemes[name][0] for name, weight in evidence.weights)
    deviation = sum(abs(weight) * image.schemes[name][1] ** 0.5 for name, weight in evidence.weights)
    return replace(image, total=replace(image.total, mean=mean, variance=deviation**2))


def _agreement(courses: Sequence[Course], truth: str, shown: str, names: Sequence[str]) -> dict[str, Any]:
    """Correlation with the readers' mean changes, each patient's with weights of other patients."""
    found = []
    for fold in range(_INNER_FOLDS):
        fit = [course for course in courses if _inner_fold(course) != fold]
        held = [course for course in courses if _inner_fold(course) == fold]
        for pair in consecutive_pairs(with_evidence(held, fit_evidence(fit, truth, shown, names))):
            moved = pair.mean_change(truth)
            if moved is not None:
                found.append((pair.before.patient, pair.after.total.mean - pair.before.total.mean, moved))
    return correlation_of(found)


def _inner_fold(course: Course) -> int:
    return fold_of(course[0].patient, _INNER_FOLDS, "inner ")


def _totals(images: Sequence[CourseImage], names: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([[image.schemes[name][0] for name in names] for image in images]).reshape(-1, len(names))


def _not_negative(changes: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Least squares with weights of 0 or more and a ridge; where all would be 0, schemes count by their spread."""
    spread = np.maximum(changes.std(axis=0), 1e-9)
    ridge = np.sqrt(_RIDGE * len(changes)) * np.eye(len(spread))
    weights, _ = nnls(np.concatenate([changes / spread, ridge]), np.concatenate([target, np.zeros(len(spread))]))
    return np.asarray((weights if weights.any() else np.ones(len(spread))) / spread)
