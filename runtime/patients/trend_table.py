"""A patient's course for the terminal: a table of images, and remarks in sentences."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lungsev.runtime.console import count_noun, display_name
from lungsev.runtime.patients.trend import Trend, TrendPoint, sentence, signed


def trend_table(trend: Trend) -> Table:
    """Return the images as rows, oldest first."""
    title = f"{trend.scheme}, {count_noun(len(trend.points), 'X-ray')}"
    table = Table(title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    codes = list(trend.points[0].grades) if trend.points else []
    for head in ("taken", "view", " ".join(codes), "total", "since previous", "remark"):
        table.add_column(head, no_wrap=head != "remark")
    for point in trend.points:
        table.add_row(
            f"{point.acquired_at:%Y-%m-%d %H:%M}",
            display_name(point.view or "?"),
            " ".join(str(point.grades.get(code, "-")).ljust(len(code)) for code in codes),
            f"{point.total:2d} ({point.total_interval[0]}-{point.total_interval[1]})",
            ""
            if point.since_previous is None
            else f"{signed(point.since_previous)} in {point.hours_since_previous:.0f} h",
            ", ".join(_remarks_on(point)),
        )
    return table


def _remarks_on(point: TrendPoint) -> list[str]:
    remarks = []
    if point.change is not None and point.since_reference is not None:
        remarks.append(f"{point.change} {signed(point.since_reference)}")
    if point.view_changed:
        remarks.append("different view")
    if point.model_changed:
        remarks.append("another model")
    if point.quality_messages:
        remarks.append("quality flags")
    return remarks


def trend_remarks(trend: Trend) -> list[str]:
    """Return sentences on the newest image, and on what the course leaves out."""
    remarks = [f"Latest: {sentence(trend.points[-1], trend.threshold)}"] if trend.points else []
    if trend.points and trend.points[-1].region_changes:
        moved = ", ".join(f"{zone.code} {zone.before} to {zone.after}" for zone in trend.points[-1].region_changes)
        remarks.append(f"Zones that changed by more than one grade: {moved}.")
    if trend.undated:
        remarks.append(f"Left out: {count_noun(len(trend.undated), 'scored X-ray')} without a date.")
    if trend.unscored:
        remarks.append(f"Left out: {count_noun(trend.unscored, 'X-ray')} without a score.")
    return remarks
