"""One measured value, and the only way to one: what, of which part, by which decision, of how many, how sure.

`measure()` and `difference()` feed every cell, axis, caption, card and log line, so the same question has the same
answer everywhere. Intervals are percentile bootstraps that resample patients: images of one patient are not
independent. Several seeds of one recipe are measured together: the value is their mean, `sd` the spread between them,
and the interval that of the mean over resampled patients; the two are separate sources of variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.train.evaluation.measures import Measure, find_measure, sample_of
from lungsev.train.evaluation.predictions import FloatArray, Predictions, common
from lungsev.train.evaluation.resampling import (
    COVERAGE,
    RESAMPLES,
    Unit,
    percentile_interval,
    resampled_values,
    units_of,
)

FEW_PATIENTS = 10  # with fewer, a bootstrap interval is too short and a value is chance
Seeds = Predictions | Sequence[Predictions]


@dataclass(frozen=True)
class Measurement:
    """A value with all that is needed to read it.

    Attributes:
        measure: Key of the table of measures.
        value: In `unit`; where that is `%`, a share of 0 to 1.
        part: Where the images are from: test, consensus, validation, train, or a group of one.
        decision: How a distribution became a grade: argmax, median or expected; `interval` of an interval.
        images: Number of images that count.
        patients: Number of patients they are of.
        interval: Bootstrap interval; None where none was asked for.
        coverage: Nominal, of `interval`.
        resampled: What the bootstrap drew.
        bins: Of a calibration error.
        seeds: Number of trainings whose mean this is.
        sd: Standard deviation between seeds; None of one.
        caution: Why the value says little; empty where it says something.
        region: Code of the region, or `right` or `left` lung; empty of all.
        patient_sd: Standard error from resampled patients, to be set beside `sd`.
        title: What the measure is called.
        digits: Decimal places that are shown.
    """

    measure: str
    value: float
    unit: str
    part: str
    decision: str
    images: int
    patients: int
    interval: tuple[float, float] | None
    coverage: float = COVERAGE
    resampled: str = "patients"
    bins: int | None = None
    seeds: int = 1
    sd: float | None = None
    caution: str = ""
    region: str = ""
    patient_sd: float | None = None
    title: str = ""
    digits: int = 3

    def text(self, interval: bool = True) -> str:
        """Return the value as shown, e.g. `63.1 [58.0, 68.2]` or, of several seeds, `63.1 ± 0.8 [58.0, 68.2]`."""
        if np.isnan(self.value):
            return "-"
        spread = "" if self.sd is None else f" ± {_shown(self.sd, self)}"
        return f"{_shown(self.value, self)}{spread}{_ends(self) if interval else ''}"

    def label(self) -> str:
        """Return measure, decision and unit, e.g. `MAE (argmax), grades`: head of a column, name of an axis."""
        details = [detail for detail in (self.decision, self.region, self.bins and f"{self.bins} bins") if detail]
        return f"{self.title} ({', '.join(details)})" + (f", {self.unit}" if self.unit else "")

    def source(self) -> str:
        """Return part and number, e.g. `test part: 43 images of 21 patients`."""
        return f"{self.part} part: {_count(self.images, 'image')} of {_count(self.patients, 'patient')}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; NaN becomes None, since JSON has none."""
        return {key: _jsonable(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        """Return the measurement that `to_dict` was of."""
        nan = float("nan")
        ends = data["interval"]
        interval = None if ends is None else (nan if ends[0] is None else ends[0], nan if ends[1] is None else ends[1])
        return cls(**{**data, "value": nan if data["value"] is None else data["value"], "interval": interval})


@dataclass(frozen=True)
class MeasuredDifference:
    """Second minus first on the images that both graded; fields as those of `Measurement`.

    Attributes:
        p_value: Two-sided; twice the smaller share of resamples on either side of zero, with the plus-one correction
            that keeps it from being 0 (Davison and Hinkley 1997, equation 4.11).
    """

    measure: str
    value: float
    unit: str
    part: str
    decision: str
    images: int
    patients: int
    interval: tuple[float, float] | None
    p_value: float
    coverage: float = COVERAGE
    resampled: str = "patients"
    seeds: int = 1
    caution: str = ""
    region: str = ""
    title: str = ""
    digits: int = 3

    def text(self) -> str:
        """Return the signed difference as shown, e.g. `+1.2 [-0.4, +2.9]`."""
        return "-" if np.isnan(self.value) else f"{_shown(self.value, self, '+')}{_ends(self, '+')}"

    def label(self) -> str:
        """Return measure, decision and unit, e.g. `accuracy (argmax), percentage points`."""
        unit = "percentage points" if self.unit == "%" else self.unit
        details = ", ".join(detail for detail in (self.decision, self.region) if detail)
        return f"{self.title} ({details})" + (f", {unit}" if unit else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {key: _jsonable(value) for key, value in asdict(self).items()}


def measure(
    predictions: Seeds,
    name: str,
    part: str = "test",
    decision: str | None = None,
    region: str = "",
    resampled: Unit = "patients",
    resamples: int = RESAMPLES,
) -> Measurement:
    """Measure predictions of one part.

    Args:
        predictions: Of one network, or of several seeds on the same images.
        name: Key of the table of measures, e.g. `accuracy`.
        part: What the images are; for labels, the predictions are all used.
        decision: None: the measure's own.
        region: Code of one region, `right` or `left` for the regions of that lung, empty for all.
        resampled: Unit of the bootstrap.
        resamples: Number of them; 0 leaves the interval out.

    Raises:
        ValueError: The measure, decision or region does not exist, or the seeds are of different images.
    """
    seeds = _seeds(predictions)
    columns = _columns(seeds[0], region)
    entry = find_measure(name, len(columns))
    decision = _decision(entry, name, decision)
    sums = [entry.sums(sample_of(each, decision, columns)) for each in seeds]
    values = np.array([float(entry.value(each.sum(axis=0))) for each in sums])
    rows = _counted(sums[0])
    draws = resampled_values(entry.value, sums, units_of(seeds[0], resampled), resamples)
    images, patients = len(rows), len({seeds[0].patients[row] for row in rows})
    interval = percentile_interval(draws) if resamples else None
    cautions = [_caution(entry, images, patients, interval, seeds[0], len(columns))]
    cautions += [fitted_caution(seeds[0], part)] if entry.bins or decision == "interval" else []
    return Measurement(
        measure=name,
        value=float(values.mean()),
        unit=entry.unit,
        part=part,
        decision=decision,
        images=images,
        patients=patients,
        interval=interval,
        resampled=resampled,
        bins=entry.bins,
        seeds=len(seeds),
        sd=float(values.std(ddof=1)) if len(seeds) > 1 else None,
        caution="; ".join(caution for caution in cautions if caution),
        region=region,
        patient_sd=float(np.nanstd(draws, ddof=1)) if interval and np.isfinite(draws).sum() > 1 else None,
        title=entry.title,
        digits=entry.digits,
    )


def difference(
    first: Seeds,
    second: Seeds,
    name: str,
    part: str = "test",
    decision: str | None = None,
    region: str = "",
    resampled: Unit = "patients",
    resamples: int = RESAMPLES,
) -> MeasuredDifference:
    """Test second minus first, paired: the same resampled patients on the images that both graded; arguments as above.

    Of several seeds, the difference is that of their means.

    Raises:
        ValueError: They grade by different schemes, or as above.
    """
    before, after = common(_seeds(first), _seeds(second))
    columns = _columns(before[0], region)
    entry = find_measure(name, len(columns))
    decision = _decision(entry, name, decision)
    sums = [[entry.sums(sample_of(each, decision, columns)) for each in side] for side in (before, after)]
    units = units_of(before[0], resampled)
    draws = resampled_values(entry.value, sums[1], units, resamples) - resampled_values(
        entry.value, sums[0], units, resamples
    )
    value = [np.mean([float(entry.value(each.sum(axis=0))) for each in side]) for side in sums]
    rows = _counted(sums[0][0])
    images, patients = len(rows), len({before[0].patients[row] for row in rows})
    draws = draws[np.isfinite(draws)]
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    interval = percentile_interval(draws) if resamples else None
    return MeasuredDifference(
        measure=name,
        value=float(value[1] - value[0]),
        unit=entry.unit,
        part=part,
        decision=decision,
        images=images,
        patients=patients,
        interval=interval,
        p_value=min(1.0, 2.0 * (tail + 1) / (len(draws) + 1)) if len(draws) else float("nan"),
        resampled=resampled,
        seeds=min(len(before), len(after)),
        caution=_caution(entry, images, patients, interval, before[0], len(columns)),
        region=region,
        title=entry.title,
        digits=entry.digits,
    )


def fitted_caution(predictions: Predictions, part: str) -> str:
    """Say where temperature or margin were fitted on the very images they are shown for; else empty."""
    return "fitted on these images: no measurement" if part and predictions.fitted_on == part else ""


def _seeds(predictions: Seeds) -> list[Predictions]:
    seeds = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    if not seeds:
        raise ValueError("found no predictions, expected those of at least one network")
    if len({each.names for each in seeds}) != 1:
        raise ValueError("seeds must be of the same images in the same order")
    return seeds


def _columns(predictions: Predictions, region: str) -> list[int]:
    regions = predictions.scheme.regions
    found = [i for i, each in enumerate(regions) if region in ("", each.code, each.side)]
    if not found:
        known = ", ".join([*(each.code for each in regions), *{each.side for each in regions}])
        raise ValueError(f"scheme {predictions.scheme.name} has no region {region}; expected one of {known}")
    return found


def _decision(entry: Measure, name: str, decision: str | None) -> str:
    if decision is not None and decision not in entry.decisions:
        raise ValueError(f"{name} cannot be of the decision {decision}; expected {' or '.join(entry.decisions)}")
    return decision or entry.decision


def _counted(sums: FloatArray) -> npt.NDArray[np.intp]:
    """Rows of images that count in a measure."""
    return np.flatnonzero((sums != 0).any(axis=1))


def _caution(
    entry: Measure,
    images: int,
    patients: int,
    interval: tuple[float, float] | None,
    predictions: Predictions,
    regions: int,
) -> str:
    """The one rule of when a value says little: too few patients, or too wide an interval to be of use."""
    if images == 0:
        return "no image counts"
    if patients < FEW_PATIENTS:
        return f"{_count(patients, 'patient')}: too few to say anything"
    grades = predictions.scheme.grades
    span = regions * (grades[-1] - grades[0]) if entry.unit == "points" else 1
    if interval is not None and interval[1] - interval[0] > entry.wide * span:
        return "interval too wide to say much"
    return ""


def _shown(value: float, shown: Measurement | MeasuredDifference, sign: str = "") -> str:
    return f"{100 * value if shown.unit == '%' else value:{sign}.{shown.digits}f}"


def _ends(shown: Measurement | MeasuredDifference, sign: str = "") -> str:
    if shown.interval is None or np.isnan(shown.interval[0]):
        return ""
    return f" [{_shown(shown.interval[0], shown, sign)}, {_shown(shown.interval[1], shown, sign)}]"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
