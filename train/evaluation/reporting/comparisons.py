"""Paired comparisons of runs: which pairs, on which parts, and p-values corrected for how many tests a page has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lungsev.train.evaluation.measurement import MeasuredDifference, difference
from lungsev.train.evaluation.reporting.run_report import RunReport, baseline_of

ALL_PAIRS = 4  # runs up to which every pair is tested
TESTED = ("accuracy", "mae")


@dataclass(frozen=True)
class CorrectedTest:
    """A paired difference with its p-value, corrected by Holm for all tests of the page."""

    difference: MeasuredDifference
    p_holm: float

    def p_text(self) -> str:
        """Return both p-values, e.g. `p 0.021, Holm 0.13`."""
        return f"p {shown_p(self.difference.p_value)}, Holm {shown_p(self.p_holm)}"


Key = tuple[str, str, str, str]  # labels of first and second, part, measure


@dataclass(frozen=True)
class Comparisons:
    """Every paired test of a page, by first run, second run, part and measure; second minus first."""

    tests: dict[Key, CorrectedTest]

    def __len__(self) -> int:
        return len(self.tests)

    def pairs(self) -> list[tuple[str, str, str]]:
        """Return first, second and part, in the order of the tests."""
        return list(dict.fromkeys(key[:3] for key in self.tests))

    def of(self, first: RunReport, second: RunReport, part: str, measure: str) -> CorrectedTest | None:
        """Return a test; None where the pair was not tested."""
        return self.tests.get((first.label, second.label, part, measure))


def compare(runs: Sequence[RunReport]) -> Comparisons:
    """Test the pairs of some runs on every part that both were measured on and neither trained on."""
    found: dict[Key, MeasuredDifference] = {}
    for first, second in _pairs(runs):
        for part in _parts(first, second):
            for measure in TESTED:
                one = difference(first.parts[part], second.parts[part], measure, part)
                if one.images and np.isfinite(one.p_value):
                    found[(first.label, second.label, part, measure)] = one
    corrected = holm([one.p_value for one in found.values()])
    return Comparisons({key: CorrectedTest(one, p) for (key, one), p in zip(found.items(), corrected, strict=True)})


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that keep the chance of any false alarm among all of them (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, and is never below a smaller one's.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(order)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(order) - place)))
        corrected[index] = highest
    return corrected


def shown_p(value: float) -> str:
    """Return a p-value with two digits that count, from 0.001 on."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def _parts(first: RunReport, second: RunReport) -> list[str]:
    if first.predictions.scheme.name != second.predictions.scheme.name:
        return []
    held_out: list[str] = [part for part in ("consensus", "test") if part in first.parts and part in second.parts]
    validation = "validation" in first.parts and "validation" in second.parts
    return held_out or (["validation"] if validation else [])


def _pairs(runs: Sequence[RunReport]) -> Iterator[tuple[RunReport, RunReport]]:
    """Yield pairs of the second against the first; of many runs only those that answer a question of the paper."""
    for index, earlier in enumerate(runs):
        for later in runs[index + 1 :]:
            swapped = asks(later, earlier, runs) and not asks(earlier, later, runs)
            first, second = (later, earlier) if swapped else (earlier, later)
            if len(runs) <= ALL_PAIRS or earlier is runs[0] or asks(first, second, runs):
                yield first, second


def asks(base: RunReport, run: RunReport, runs: Sequence[RunReport]) -> bool:
    """Tell whether a run is to be compared with a base.

    Bases are spatial normalisation alone for the encoder, the start from scratch for another start, and BS-Net for all
    others of its backbone.
    """
    if baseline_of(run, runs) is base:
        return True
    alike = (base.recipe[:-1], base.position_aware) == (run.recipe[:-1], run.position_aware)
    if alike and base.start == "scratch" != run.start:
        return True
    return base.is_bsnet and not run.is_bsnet and base.backbone == run.backbone
