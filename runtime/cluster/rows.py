"""Row of an image in the table of results: the columns of `scores.csv`, typed, and all schemes with probabilities."""

from __future__ import annotations

from typing import Any

from lungsev.report import SeverityReport
from lungsev.runtime.cluster.sources import Item
from lungsev.runtime.outputs.csv_file import COLUMNS, report_rows

Row = dict[str, Any]

INTEGERS = frozenset(
    {"total", "total_low", "total_high", "total_max", "revision", "model_total", "partial_total", "partial_max",
     "change_percent"}
)  # fmt: skip
NUMBERS = frozenset({"expected"})


def make_row(item: Item, report: SeverityReport, with_report: bool = False) -> Row:
    """Return the row of an image.

    Args:
        item: The image in its source.
        report: Its result.
        with_report: Add the report in its reference form, JSON.

    Returns:
        `source`, `source_version`; then the columns of `scores.csv`, with the score of the main scheme; `message`;
        `scores`, the score of every scheme with the probabilities of each region; `report`.
    """
    image = item.name.rstrip("/").rpartition("/")[2]
    cells = [dict(zip(COLUMNS, row, strict=True)) for row in report_rows(image, report)]
    main = next((row for row in cells if report.scores and row["scheme"] == report.main_scheme), cells[0])
    return {
        "source": item.name,
        "source_version": item.version,
        **{name: _typed(name, cell) for name, cell in main.items()},
        "message": report.message,
        "scores": _scores(report),
        "report": report.to_json(indent=None) if with_report else None,
    }


def _typed(name: str, cell: str) -> int | float | str | None:
    if not cell:
        return None
    if name in INTEGERS:
        return int(cell)
    return float(cell) if name in NUMBERS else cell.encode("utf-8", "replace").decode("utf-8")


def _scores(report: SeverityReport) -> list[dict[str, Any]]:
    return [
        {
            "scheme": name,
            "total": score.total,
            "total_low": score.total_interval and score.total_interval[0],
            "total_high": score.total_interval and score.total_interval[1],
            "total_max": score.total_max,
            "expected": score.total_expected,
            "regions": [
                {
                    "code": region.code,
                    "grade": region.grade,
                    "expected": region.expected,
                    "probabilities": None if region.probabilities is None else list(region.probabilities),
                    "not_assessable": region.not_assessable,
                }
                for region in score.regions
            ],
        }
        for name, score in report.scores.items()
    ]
