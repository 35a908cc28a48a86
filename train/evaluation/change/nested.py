"""Nested measurement: evidence, repeatability and threshold of each fold are those of the other folds' patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lungsev.change import Repeatability
from lungsev.train.evaluation.change.courses import Course, consecutive_pairs, fold_of
from lungsev.train.evaluation.change.evidence import Evidence, choose_evidence, with_evidence
from lungsev.train.evaluation.change.figures import JudgedCourses, choose_threshold, joined, judge
from lungsev.train.evaluation.change.fit import FittedProcess, fit_process, fit_regions

FOLDS = 5
_MOST_SHARED = 0.999  # a fit to few pairs may end at 1, where nothing would be noise
MARGIN = 0.5  # points: the smallest true change that counts, half of what a total can show


@dataclass(frozen=True)
class FittedChange:
    """A repeatability as the bundle holds it, and what it was found from.

    Attributes:
        compared: Candidate to the agreement of its changes with the readers', on inner folds.
    """

    repeatability: Repeatability
    process: FittedProcess
    compared: dict[str, dict[str, Any]]


def fit_change(courses: Sequence[Course], truth: str, shown: str) -> FittedChange:
    """Choose the evidence, fit drift, steps and noise, and choose from which probability on a change is called.

    Raises:
        DatasetError: Too few pairs of graded images, or none within a day.
    """
    evidence, compared = choose_evidence(courses, truth, shown)
    seen = with_evidence(courses, evidence)
    pairs = consecutive_pairs(seen)
    process = fit_process(pairs, truth)
    region_shared_error, region_process = fit_regions(pairs, process)
    values = {
        "shared_error": min(process.shared_error, _MOST_SHARED),
        "drift_per_day": process.drift_per_day,
        "step_share": min(process.step_share, _MOST_SHARED),
        "step_variance": process.step_variance,
        "region_shared_error": region_shared_error,
        "region_process": region_process,
        "margin": MARGIN,
    }
    rounded = {name: float(f"{value:.4g}") for name, value in values.items()}
    provisional = Repeatability(**rounded, call_from=0.99, evidence=evidence.weights, evidence_offset=evidence.offset)
    chosen = replace(provisional, call_from=choose_threshold(seen, provisional))
    return FittedChange(chosen, process, compared)


def judge_nested(courses: Sequence[Course], truth: str, shown: str) -> tuple[JudgedCourses, list[dict[str, Any]]]:
    """Return the changes of every course, each judged with what was fitted to other patients, and each fold's fit.

    Raises:
        DatasetError: As `fit_change`.
    """
    parts, fits = [], []
    for fold in range(FOLDS):
        held = [course for course in courses if fold_of(course[0].patient, FOLDS) == fold]
        if not held:
            continue
        fitted = fit_change([c for c in courses if fold_of(c[0].patient, FOLDS) != fold], truth, shown)
        measured = fitted.repeatability
        seen = with_evidence(held, Evidence(measured.evidence, measured.evidence_offset))
        parts.append(judge(seen, measured))
        fits.append({"patients": len(held), **asdict(measured)})
    return joined(parts), fits
