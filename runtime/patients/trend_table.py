"""A patient's course for the terminal: a table of images, and remarks in sentences."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lungsev.change import format_hours, signed_points
from lungsev.runtime.console import count_noun, display_name
from lungsev.runtime.patients.trend import Trend, TrendPoint, format_taken
from lungsev.runtime.patients.trend_sentences import format_moment, sentence


def trend_table(trend: Trend) -> Table:
    """Return the images as rows, oldest first."""
    title = f"{trend.scheme}, {count_noun(len(trend.points), 'X-ray')}"
    table = Table(title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    codes = list(trend.points[0].grades) if trend.points else []
    for head in ("taken", "view", " ".join(codes), "total", "since previous", "remark"):
        table.add_column(head, no_wrap=head != "remark")
    has_offsets = len({point.moment.offset for point in trend.points if point.moment.has_time}) > 1
    for point in trend.points:
        table.add_row(
            format_taken(point.moment) + (f" {point.moment.offset or ''}" if has_offsets else ""),
            display_name(point.view or "?"),
            " ".join(_digit(point.grades.get(code)).ljust(len(code)) for code in codes),
            _total(point),
            _since_previous(point),
            ", ".join(_remarks_on(point)),
        )
    return table


def _digit(grade: int | None) -> str:
    return "-" if grade is None else str(grade)


def _total(point: TrendPoint) -> str:
    if point.partial is not None:
        return point.partial.words
    if point.total_interval is None:
        return f"{point.total:2d} ({point.state})"
    return f"{point.total:2d} ({point.total_interval[0]}-{point.total_interval[1]})"


def _since_previous(point: TrendPoint) -> str:
    if point.since_previous is None:
        return ""
    points = signed_points(point.since_previous).split()[0]
    return points if point.hours_since_previous is None else f"{points} in {format_hours(point.hours_since_previous)}"


def _remarks_on(point: TrendPoint) -> list[str]:
    remarks = []
    if point.change is not None and point.change.direction != "none":
        remarks.append(point.change.words)
    if point.drift is not None and point.drift_since is not None:
        remarks.append(f"{point.drift.words}, since {format_moment(point.drift_since)}")
    if point.stands_out:
        remarks.append("stands out")
    if point.view_changed:
        remarks.append("different view")
    if point.quality_messages:
        remarks.append("quality flags")
    return remarks


def trend_remarks(trend: Trend) -> list[str]:
    """Return sentences on the newest image, and on what the course leaves out."""
    remarks = [f"Latest: {sentence(trend.points[-1])}"] if trend.points else []
    if trend.points and trend.points[-1].region_changes:
        moved = "; ".join(
            f"{zone.code} {zone.before} to {zone.after}, {zone.words}" for zone in trend.points[-1].region_changes
        )
        remarks.append(f"Zones that changed: {moved}.")
    if trend.stop:
        remarks.append(trend.stop)
    if trend.undated:
        remarks.append(f"Left out: {count_noun(len(trend.undated), 'scored X-ray')} without a date that can be right.")
    if trend.unscored:
        remarks.append(f"Left out: {count_noun(trend.unscored, 'X-ray')} without a score.")
    return remarks
