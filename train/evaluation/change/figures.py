"""How good the called changes are: false calls within a day, agreed changes that are found, reliability, trade-off."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungsev.change import ChangeEstimate, Repeatability, change_between
from lungsev.errors import DatasetError
from lungsev.train.evaluation.change.courses import (
    Course,
    Pair,
    all_pairs,
    changes_alone,
    changes_in_course,
    consecutive_pairs,
)

AGREED_POINTS = 4.0
FALSE_CALLS_AIM = 0.03  # of the fit part; the limit is 5 % on other patients
_BINS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0 + 1e-9)
_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_RESAMPLES = 2000
_MOVED = 0.5  # of the readers' mean, on their own scale

Judged = list[tuple[Pair, ChangeEstimate]]


@dataclass(frozen=True)
class JudgedCourses:
    """Pairs with their changes: each from its two images alone, in its course, and every two images of a patient."""

    alone: Judged
    in_course: Judged
    every: Judged


def judge(courses: Sequence[Course], repeatability: Repeatability) -> JudgedCourses:
    """Work out the change of every pair."""
    consecutive, every = consecutive_pairs(courses), all_pairs(courses)
    return JudgedCourses(
        alone=list(zip(consecutive, changes_alone(consecutive, repeatability), strict=True)),
        in_course=list(zip(consecutive, changes_in_course(courses, repeatability), strict=True)),
        every=list(zip(every, changes_alone(every, repeatability), strict=True)),
    )


def choose_threshold(courses: Sequence[Course], repeatability: Repeatability) -> float:
    """Return the lowest probability, in hundredths, from which on few enough pairs of one day are called changed.

    Raises:
        DatasetError: No two images of a patient are less than a day apart.
    """
    pairs = consecutive_pairs(courses)
    if not any(map(_within_a_day, pairs)):
        raise DatasetError(
            "no two images of a patient are less than a day apart, so false calls cannot be counted; "
            "give a dataset with repeated images, e.g. RALO"
        )
    alone, in_course = changes_alone(pairs, repeatability), changes_in_course(courses, repeatability)
    for percent in range(51, 100):
        rates = [
            _share([is_called(change, percent / 100) for pair, change in zip(pairs, part, strict=True) if within(pair)])
            for part in (alone, in_course)
            for within in (_within_a_day, _on_one_date)
        ]
        if max(rate or 0.0 for rate in rates) <= FALSE_CALLS_AIM:
            return percent / 100
    return 0.99


def figures(courses: Sequence[Course], repeatability: Repeatability) -> dict[str, Any]:
    """Return everything that is measured on some courses, in plain JSON types."""
    judged = judge(courses, repeatability)
    truths = list(dict.fromkeys(truth for course in courses for image in course for truth in image.readings))
    threshold = repeatability.call_from
    return {
        "patients": len(courses),
        "images": sum(len(course) for course in courses),
        "pairs": len(judged.alone),
        "same_day_called": {
            f"{name}, {how}": _rate(part, within, lambda pair, change: is_called(change, threshold))
            for name, within in (("within 24 h", _within_a_day), ("one calendar day", _on_one_date))
            for how, part in (("pair alone", judged.alone), ("in its course", judged.in_course))
        },
        "agreed_found": {
            f"{truth}, {name}": _rate(part, _agrees_on(truth), _finds(truth, threshold))
            for truth in truths
            for name, part in (
                ("consecutive, pair alone", judged.alone),
                ("consecutive, in its course", judged.in_course),
                ("every two images", judged.every),
            )
        },
        "called": {truth: _called(judged.in_course, truth, threshold) for truth in truths},
        "reliability": {truth: _reliability(judged.in_course, truth) for truth in truths},
        "trade_off": [_trade_off(judged, truths[0], threshold) for threshold in _THRESHOLDS] if truths else [],
        "zones_called_within_24_h": _zones_called(judged.alone, repeatability),
    }


def is_called(change: ChangeEstimate, threshold: float) -> bool:
    """Return whether a change is called from a threshold on, whatever it was judged with."""
    points = change.points or 0
    agrees = points > 0 if change.worse > change.better else points < 0
    return agrees and max(change.worse, change.better) >= threshold


def _within_a_day(pair: Pair) -> bool:
    return pair.hours < 24


def _on_one_date(pair: Pair) -> bool:
    return pair.same_date


def _agrees_on(truth: str) -> Callable[[Pair], bool]:
    """Both readers say that the total moved the same way, by enough."""

    def agrees(pair: Pair) -> bool:
        changes = pair.reader_changes(truth)
        return len(changes) > 1 and (min(changes) >= AGREED_POINTS or max(changes) <= -AGREED_POINTS)

    return agrees


def _finds(truth: str, threshold: float) -> Callable[[Pair, ChangeEstimate], bool]:
    def finds(pair: Pair, change: ChangeEstimate) -> bool:
        rose = pair.reader_changes(truth)[0] > 0
        return is_called(change, threshold) and (change.worse > change.better) == rose

    return finds


def _rate(
    judged: Judged, counts: Callable[[Pair], bool], succeeds: Callable[[Pair, ChangeEstimate], bool]
) -> dict[str, Any]:
    """Share of the pairs that count, with a 95 % interval: Wilson's, or of resampled patients where that is wider."""
    found = [(pair.before.patient, succeeds(pair, change)) for pair, change in judged if counts(pair)]
    patients = sorted({patient for patient, _ in found})
    result: dict[str, Any] = {"pairs": len(found), "patients": len(patients), "rate": None, "interval": None}
    if not found:
        return result
    index = {patient: i for i, patient in enumerate(patients)}
    tally = np.zeros((len(patients), 2))
    for patient, success in found:
        tally[index[patient]] += (success, 1)
    rng = np.random.default_rng(0)
    sums = tally[rng.integers(0, len(patients), (_RESAMPLES, len(patients)))].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    rate = float(tally[:, 0].sum() / len(found))
    least, most = _wilson(rate, len(found))
    interval = [round(min(float(low), least), 4), round(max(float(high), most), 4)]
    return {**result, "rate": round(rate, 4), "interval": interval}


def _wilson(rate: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927)."""
    square = 1.96**2 / count
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(square * (rate * (1 - rate) + square / 4)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def _called(judged: Judged, truth: str, threshold: float) -> dict[str, Any]:
    """What the readers' mean says of the changes that are called."""
    moved = [_toward(pair, change, truth) for pair, change in judged if is_called(change, threshold)]
    known = [value for value in moved if value is not None]
    return {
        "pairs": len(known),
        "same_way": _share([value > 0 for value in known]),
        "no_change": _share([value == 0 for value in known]),
        "other_way": _share([value < 0 for value in known]),
    }


def _reliability(judged: Judged, truth: str) -> list[dict[str, Any]]:
    """By the probability of the likelier direction: how often the readers' mean moved that way, and the other way."""
    rows = []
    for low, high in itertools.pairwise(_BINS):
        inside = []
        for pair, change in judged:
            probability, moved = max(change.worse, change.better), _toward(pair, change, truth)
            if low <= probability < high and moved is not None:
                inside.append((probability, moved))
        if inside:
            rows.append(
                {
                    "from": low,
                    "to": round(high, 2),
                    "pairs": len(inside),
                    "probability": round(sum(probability for probability, _ in inside) / len(inside), 3),
                    "same_way": _share([moved >= _MOVED for _, moved in inside]),
                    "other_way": _share([moved <= -_MOVED for _, moved in inside]),
                }
            )
    return rows


def _toward(pair: Pair, change: ChangeEstimate, truth: str) -> float | None:
    """By how much the readers' mean moved in the likelier direction."""
    changes = pair.reader_changes(truth)
    if not changes:
        return None
    mean = sum(changes) / len(changes)
    return mean if change.worse > change.better else -mean


def _trade_off(judged: JudgedCourses, truth: str, threshold: float) -> dict[str, Any]:
    def rate(
        part: Judged, counts: Callable[[Pair], bool], found: Callable[[Pair, ChangeEstimate], bool]
    ) -> float | None:
        return _share([found(pair, change) for pair, change in part if counts(pair)])

    def called(pair: Pair, change: ChangeEstimate) -> bool:
        return is_called(change, threshold)

    agrees, finds = _agrees_on(truth), _finds(truth, threshold)
    return {
        "call_from": threshold,
        "same_day_pair_alone": rate(judged.alone, _within_a_day, called),
        "same_day_in_course": rate(judged.in_course, _within_a_day, called),
        "agreed_found_every_two": rate(judged.every, agrees, finds),
    }


def _zones_called(judged: Judged, repeatability: Repeatability) -> dict[str, Any]:
    called = [
        change_between(before, after, pair.hours, repeatability, region=True).called
        for pair, _ in judged
        if _within_a_day(pair)
        for before, after in zip(pair.before.zones, pair.after.zones, strict=True)
    ]
    return {"zones": len(called), "rate": _share(called)}


def _share(values: Sequence[bool]) -> float | None:
    """Share of true values, to four digits; None where there are none to count."""
    return round(sum(values) / len(values), 4) if values else None
