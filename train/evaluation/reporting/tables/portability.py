"""Table 2 of the paper: another dataset or scheme, from scratch, fine-tuned or by a linear probe."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.train.evaluation.reporting.cells import Cell, Table
from lungsev.train.evaluation.reporting.comparisons import Comparisons
from lungsev.train.evaluation.reporting.published import table_2
from lungsev.train.evaluation.reporting.run_report import RunReport, baseline_of

NOTE = (
    "Gain: the row with PAFE minus the row with SN alone of the same backbone and start, which is what the paper has "
    "in parentheses; paired, on the images of both. *Lee, Kim and Lee 2024 on the private Inha ICU images: test "
    "accuracy with PAFE; other data cannot be compared with it."
)
STARTS = ("scratch", "fine-tuned", "linear probe")


def is_transfer(run: RunReport, runs: Sequence[RunReport]) -> bool:
    """Tell whether a run belongs to Table 2: of another scheme than Brixia, of other weights, or the twin of one."""
    if run.predictions.scheme.name != "brixia" or run.start != "scratch":
        return True
    return any(
        other.start != "scratch" and other.data == run.data and other.predictions.scheme == run.predictions.scheme
        for other in runs
        if run.settings and other.settings
    )


def portability_table(runs: Sequence[RunReport], comparisons: Comparisons) -> Table:
    """One row per run, ordered by target, backbone and start, spatial normalisation alone before the encoder."""
    rows = []
    for run in sorted(runs, key=_order):
        base, part = baseline_of(run, runs), "test" if "test" in run.parts else run.measured
        gains: list[Cell] = [
            (comparisons.of(base, run, part, measure) if base is not None else None) or "-"
            for measure in ("accuracy", "mae")
        ]
        target = f"{run.predictions.scheme.name} of {run.data}" if run.data else run.predictions.scheme.name
        accuracy, error = run.measure("accuracy", part), run.measure("mae", part)
        start = (run.start, run.source_label or "-") if run.network else ("-", "-")
        rows.append((run.label, target, *start, accuracy, gains[0], error, gains[1], table_2(run)))
    columns = ("run", "target", "start", "source", "", "", "", "", "paper*")
    return Table("table-2", "Table 2: portability", columns, tuple(rows), NOTE)


def _order(run: RunReport) -> tuple[str, str, str, int, bool]:
    return (run.predictions.scheme.name, run.data, run.backbone, STARTS.index(run.start), bool(run.position_aware))
