"""What metrics.json says of one part: plain numbers by decision, and each of them as a full measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lungsev.train.evaluation.breakdown import groups_of
from lungsev.train.evaluation.measurement import Measurement, Seeds, measure
from lungsev.train.evaluation.measures import MEASURES
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.readers import second_reader

BY_REGION = ("accuracy", "mae", "kappa")
BY_LUNG = ("accuracy", "mae", "total_r")
BY_GROUP = ("accuracy", "mae", "kappa", "total_mae", "total_r", "interval_coverage")
OF_READERS = ("accuracy", "mae", "within_one", "kappa", "total_mae", "total_bias", "total_r", "total_icc")
DECISIONS = ("argmax", "median", "expected")


def summarise(predictions: Seeds, part: str) -> dict[str, Any]:
    """Measure one part in every way.

    Args:
        predictions: Of one network, or of several seeds.
        part: What the images are.

    Returns:
        `argmax`, `median` and `expected` with plain numbers by measure, `ece`, `interval`, `lungs`, `groups`, perhaps
        `second_reader`; `measurements` says of each number what it is of and how sure.
    """
    first = predictions if isinstance(predictions, Predictions) else predictions[0]
    measured = [
        measure(predictions, name, part, decision)
        for name, entry in MEASURES.items()
        for decision in entry.decisions
        if decision != "interval" or first.intervals is not None
    ]
    found: dict[str, Any] = {"images": len(first.names), "patients": len(set(first.patients))}
    found["calibration_fitted_on"] = first.fitted_on or "nothing"
    for decision in DECISIONS:
        found[decision] = {m.measure: _number(m) for m in measured if m.decision == decision and m.measure != "ece"}
        if decision != "expected":
            found[decision] |= {f"region_{name}": _of_regions(predictions, name, decision) for name in BY_REGION}
    by_name = {m.measure: m for m in measured}
    found["ece"] = _number(by_name["ece"])
    if "interval_coverage" in by_name:
        found["interval"] = {
            "stated_coverage": first.stated_coverage,
            "coverage": _number(by_name["interval_coverage"]),
            "mean_width": _number(by_name["interval_width"]),
        }
    found["lungs"] = {
        side: {name: _number(measure(predictions, name, part, region=side)) for name in BY_LUNG}
        for side in sorted({region.side for region in first.scheme.regions} - {"both"}, reverse=True)
    }
    found["groups"] = summarise_groups(predictions, part)
    pair = second_reader(first)
    if pair is not None:
        of_pair = [pair.measure(name, part) for name in OF_READERS]
        found["second_reader"] = {
            "who": pair.label,
            "images": len(pair.predictions.names),
            **{m.measure: _number(m) for m in of_pair},
            **{f"region_{name}": _of_regions(pair.predictions, name, "argmax") for name in BY_REGION},
            "measurements": [m.to_dict() for m in of_pair],
        }
    found["measurements"] = [m.to_dict() for m in measured]
    return found


def summarise_groups(predictions: Seeds, part: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Measure each view position, finding and third of severity: kind -> group -> measurements."""
    seeds = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    summary: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for kind, groups in groups_of(seeds[0]).items():
        for group, rows in groups.items():
            chosen = [each.select(rows) for each in seeds]
            names = [name for name in BY_GROUP if seeds[0].intervals is not None or name != "interval_coverage"]
            measured = [measure(chosen, name, f"{part}, {group}").to_dict() for name in names]
            summary.setdefault(kind, {})[group] = measured
    return summary


def headline(predictions: Seeds, part: str, names: Sequence[str] = ("accuracy", "mae", "total_mae")) -> str:
    """Return one log line, e.g. `test part: 43 images of 21 patients, accuracy (argmax), %: 63.1, ...`."""
    measured = [measure(predictions, name, part, resamples=0) for name in names]
    values = ", ".join(f"{m.label()}: {m.text()}" for m in measured)
    return f"{measured[0].source()}, {values}"


def measurements_of(summary: dict[str, Any]) -> list[Measurement]:
    """Return the measurements of a summary, as metrics.json holds it."""
    return [Measurement.from_dict(each) for each in summary["measurements"]]


def _of_regions(predictions: Seeds, name: str, decision: str) -> list[float | None]:
    first = predictions if isinstance(predictions, Predictions) else predictions[0]
    codes = [region.code for region in first.scheme.regions]
    return [_number(measure(predictions, name, "", decision, code, resamples=0)) for code in codes]


def _number(found: Measurement) -> float | None:
    return None if np.isnan(found.value) else found.value
