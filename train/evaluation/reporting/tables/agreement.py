"""Agreement with the reader, of regions and of totals; a second reader beside the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lungsev.train.evaluation.measurement import Measurement, measure
from lungsev.train.evaluation.readers import ReaderPair
from lungsev.train.evaluation.reporting.cells import Cell, Table
from lungsev.train.evaluation.reporting.run_report import RunReport

BOTH = "read by both of the {}"  # part of the images that two readers graded
# Measure and decision; None is the measure's own, by which a reader, who decides without one, is measured too.
REGION_MEASURES = (
    ("accuracy", None),
    ("mae", None),
    ("mae", "median"),
    ("mae", "expected"),
    ("within_one", None),
    ("kappa", None),
    ("region_kappa", None),
    ("ece", None),
)
TOTAL_MEASURES = (
    ("total_mae", None),
    ("total_mae", "expected"),
    ("total_bias", None),
    ("limit_low", None),
    ("limit_high", None),
    ("total_r", None),
    ("total_icc", None),
)
OF_PROBABILITIES = ("ece",)  # which a reader or a regression does not state


def region_table(runs: Sequence[RunReport]) -> Table:
    """Return the agreement over all regions."""
    note = (
        "All regions together; the mean kappa of regions weighs each region alike. MAE (argmax) is the paper's, the "
        "median and the expected grade are other decisions from the same distributions."
    )
    return _table(runs, REGION_MEASURES, "agreement-regions", "Agreement with the reader: regions", note)


def total_table(runs: Sequence[RunReport]) -> Table:
    """Return the agreement of the sum over regions, with Bland and Altman's limits."""
    note = (
        "Bias: predicted minus reader. Limits of agreement: bias -/+ 1.96 standard deviations of the differences "
        "(Bland and Altman 1986). ICC(2,1): absolute agreement (Shrout and Fleiss 1979). Images with an unread region "
        "have no total."
    )
    return _table(runs, TOTAL_MEASURES, "agreement-totals", "Agreement with the reader: totals", note)


def _table(
    runs: Sequence[RunReport], measures: Sequence[tuple[str, str | None]], name: str, title: str, note: str
) -> Table:
    def row(label: str, measured: Callable[[str, str | None], Cell]) -> tuple[Cell, ...]:
        return (label, *(measured(*each) for each in measures))

    rows = [row(label, measured) for label, measured in rows_with_readers(runs)]
    return Table(name, title, ("who", *[""] * len(measures)), tuple(rows), note, "rows")


def rows_with_readers(runs: Sequence[RunReport]) -> list[tuple[str, Callable[..., Cell]]]:
    """Return label and measuring function of every row: runs by part, and each pair of readers once.

    Where the readers share only some of the images, each run is measured on those too: only on the same images do model
    and reader compare.
    """
    rows: list[tuple[str, Callable[..., Cell]]] = []
    for part in dict.fromkeys(part for run in runs for part in run.held_out):
        seen: set[tuple[str, tuple[str, ...]]] = set()
        shared: list[tuple[str, Callable[..., Cell]]] = []
        pairs: list[tuple[str, Callable[..., Cell]]] = []
        for run in (run for run in runs if part in run.held_out):
            rows.append((run.label, _of_run(run, part)))
            pair = run.readers(part)
            if pair is None:
                continue
            if len(pair.predictions.names) < len(run.parts[part][0].names):
                shared.append((run.label, _of_run(run, part, pair)))
            key = (pair.predictions.scheme.name, pair.predictions.names)
            if key not in seen:
                seen.add(key)
                pairs.append((pair.label, _of_reader(pair, shared_part(run, part, pair))))
        rows += [*shared, *pairs]
    return rows


def shared_part(run: RunReport, part: str, pair: ReaderPair) -> str:
    """Return what to call the images of two readers: the part itself where they read all of it."""
    return part if len(pair.predictions.names) == len(run.parts[part][0].names) else BOTH.format(part)


def of_shared_images(
    run: RunReport, part: str, pair: ReaderPair, name: str, decision: str | None = None, region: str = ""
) -> Measurement:
    """Measure a run on the images of a part that two readers graded."""
    rows = {image: row for row, image in enumerate(run.parts[part][0].names)}
    chosen = [rows[image] for image in pair.predictions.names]
    found = measure([each.select(chosen) for each in run.parts[part]], name, part, decision, region)
    return replace(found, part=shared_part(run, part, pair))


def _of_run(run: RunReport, part: str, pair: ReaderPair | None = None) -> Callable[..., Cell]:
    def measured(name: str, decision: str | None = None, region: str = "") -> Cell:
        if name in OF_PROBABILITIES and not run.states_probabilities:
            return "-"
        if pair is None:
            return run.measure(name, part, decision, region)
        return of_shared_images(run, part, pair, name, decision, region)

    return measured


def _of_reader(pair: ReaderPair, part: str) -> Callable[..., Cell]:
    def measured(name: str, decision: str | None = None, region: str = "") -> Cell:
        if decision is not None or name in OF_PROBABILITIES:
            return "-"
        return pair.measure(name, part, region)

    return measured
