"""What a person sees in the terminal: a rich table there, plain lines in a file or a pipe."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lungsev.report import SchemeScore, SeverityReport

_STYLES = {"scored": "green", "skipped": "yellow", "failed": "red"}


def open_console(stderr: bool = False) -> Console:
    """A console that wraps nothing and colours nothing when its output is not a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), emoji=False, markup=False)


def display_name(path: Path | str | bytes) -> str:
    """A file name that is safe to print: control, right-to-left and undecodable characters become escapes."""
    text = os.fsdecode(path)
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")
        else character
        for character in text
    )


def count_noun(count: int, noun: str) -> str:
    """Return a count with its noun in the right number: `1 image`, `2 images`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def report_line(name: str, report: SeverityReport) -> str:
    """One plain line for one image."""
    return "  ".join(part for part in (name, report.status, *_scores(report), _remark(report)) if part)


def reports_table(rows: list[tuple[str, SeverityReport]], title: str | None = None) -> Table:
    """Images as rows: total, the interval of the reader's total, grades by region, remarks."""
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column("image", overflow="fold", min_width=12)
    table.add_column("status")
    table.add_column("score", no_wrap=True)
    table.add_column("right | left", no_wrap=True)
    table.add_column("remark", overflow="fold", min_width=16)
    for name, report in rows:
        totals = Text("\n").join(Text(f"{scheme} {_total(score)}") for scheme, score in report.scores.items())
        grades = Text("\n").join(Text(_grades(score)) for score in report.scores.values())
        status = Text(report.status, style=_STYLES[report.status])
        table.add_row(Text(name), status, totals, grades, Text(_remark(report)))
    return table


def count_line(reports: list[SeverityReport]) -> str:
    """`5 scored, 1 skipped, 0 failed`."""
    counts = {status: sum(report.status == status for report in reports) for status in _STYLES}
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _scores(report: SeverityReport) -> list[str]:
    return [f"{scheme} {_total(score)}  {_grades(score)}" for scheme, score in report.scores.items()]


def _total(score: SchemeScore) -> str:
    interval = score.partial.interval if score.partial else score.total_interval
    likely = f" ({interval[0]}-{interval[1]})" if interval else ""
    if score.partial is not None:
        return f"{score.partial.points}/{score.partial.points_max}{likely} in {score.partial.note}"
    return f"{score.total}/{score.total_max}{likely}"


def _grades(score: SchemeScore) -> str:
    """Grades with the patient's right first, as the image hangs: `2 1 0 | 3 2 1`."""
    half = len(score.regions) // 2
    grades = ["-" if region.grade is None else str(region.grade) for region in score.regions]
    if len(grades) % 2:
        return " ".join(grades)
    return f"{' '.join(grades[:half])} | {' '.join(grades[half:])}"


def _remark(report: SeverityReport) -> str:
    if report.status != "scored":
        code = report.reason or report.error or ""
        return f"{code}: {display_name(report.message)}" if report.message else code
    flags = [flag.message for flag in report.quality.flags if flag.severity != "info"]
    return "; ".join(flags)
