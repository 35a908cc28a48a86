"""`lungsev-run trend`: a patient's course as a table, a picture and JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lungsev.drawing.overlay import encode_png
from lungsev.errors import LungsevError
from lungsev.report import DISCLAIMER
from lungsev.runtime.console import count_noun, display_name, open_console
from lungsev.runtime.patients.chart import draw_trend
from lungsev.runtime.patients.history import History, exams_of
from lungsev.runtime.patients.trend import Trend, TrendPoint, patient_trend, sentence, signed
from lungsev.system import write_atomically


def trend_command(patient: str, out: Path, scheme: str | None, png: Path | None, json_output: bool) -> None:
    """Print a patient's course and write its picture.

    Raises:
        LungsevError: There is no such patient among the reports, or no scored image.
    """
    exams = History(out).refresh()
    images = exams_of(exams, patient)
    if not images:
        count = len({exam.patient for exam in exams.values()})
        raise LungsevError(f"no image of this patient among {len(exams)} reports of {count} patients in {out}")
    trend = patient_trend(images, scheme)
    if trend is None:
        wanted = f" under the scheme {scheme}" if scheme else ""
        raise LungsevError(
            f"the patient has {len(images)} images, none with a score{wanted}; see their reports for why"
        )
    path = png or out / "trends" / f"{trend_name(patient)}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode_png(draw_trend(trend, f"Course of {count_noun(len(trend.points), 'image')}")))
    except OSError as error:
        raise LungsevError(f"cannot write the picture: {error.strerror or error}; choose another --png") from None
    if json_output:
        print(json.dumps({**trend.to_dict(), "png": display_name(path), "disclaimer": DISCLAIMER}, ensure_ascii=True))
        return
    console = open_console()
    console.print(trend_table(trend))
    for words in _remarks(trend):
        console.print(words)
    console.print(f"picture: {path}", soft_wrap=True)
    console.print(DISCLAIMER)


def trend_name(patient: str) -> str:
    """A file name that does not tell the patient."""
    return f"trend-{hashlib.sha256(patient.encode()).hexdigest()[:12]}"


def trend_table(trend: Trend) -> Table:
    """Images, oldest first."""
    title = f"{trend.scheme}, {count_noun(len(trend.points), 'image')}"
    table = Table(title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    codes = list(trend.points[0].grades) if trend.points else []
    for head in ("taken", "view", " ".join(codes), "total", "since last", "remark"):
        table.add_column(head, no_wrap=head != "remark")
    for point in trend.points:
        table.add_row(
            f"{point.acquired_at:%Y-%m-%d %H:%M}",
            display_name(point.view or "?"),
            " ".join(str(point.grades.get(code, "-")).ljust(len(code)) for code in codes),
            f"{point.total:2d} ({point.total_interval[0]}-{point.total_interval[1]})",
            ""
            if point.since_previous is None
            else f"{signed(point.since_previous)} in {point.hours_since_previous:.0f}h",
            ", ".join(_words(point)),
        )
    return table


def _words(point: TrendPoint) -> list[str]:
    """What deserves to be said of a point, in a word each."""
    words = []
    if point.change is not None and point.since_reference is not None:
        words.append(f"{point.change} {signed(point.since_reference)}")
    if point.view_changed:
        words.append("other view")
    if point.model_changed:
        words.append("other model")
    if point.doubts:
        words.append("doubts")
    return words


def _remarks(trend: Trend) -> list[str]:
    remarks = [f"Latest: {sentence(trend.points[-1], trend.threshold)}"] if trend.points else []
    if trend.points and trend.points[-1].region_changes:
        moved = ", ".join(f"{zone.code} {zone.before} to {zone.after}" for zone in trend.points[-1].region_changes)
        remarks.append(f"Zones that moved by more than one grade: {moved}.")
    if trend.undated:
        remarks.append(f"Left out: {count_noun(len(trend.undated), 'scored image')} without a date.")
    if trend.unscored:
        remarks.append(f"Left out: {count_noun(trend.unscored, 'image')} without a score.")
    return remarks
