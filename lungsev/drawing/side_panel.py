"""Side panel of the overlay: total, zones laid out as on the image, severity map, quality flags, origin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lungsev.drawing.palette import (
    GOOD,
    INK,
    MUTED,
    TEXT,
    TILE,
    WARNING,
    Colour,
    ink_on,
    severity_colour,
    severity_colours,
)
from lungsev.drawing.radiograph_view import MAP_COVER, grade_colour, grade_mark, smooth_map
from lungsev.drawing.shapes import REGULAR, SEMIBOLD, Sheet
from lungsev.geometry import warp
from lungsev.moment import Moment
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import QualityFlag, RegionScore, SeverityReport, format_likely
from lungsev.schemes import Scheme
from lungsev.statements import other_scores, standing_statement, with_standing_grades

WIDTH = 620.0
_LEFT, _INNER = 48.0, 524.0
_MAP = 236.0


def draw_scored_panel(sheet: Sheet, x: float, scored: ScoredRadiograph, name: str, scheme: Scheme | None) -> float:
    """Draw the panel of a scored image from the top of the sheet down and return the y of its end.

    Args:
        sheet: The sheet to draw on.
        x: Left edge of the panel, in design units.
        scored: The scored image.
        name: The scheme to show large; the image's other schemes get a line each.
        scheme: Its definition, for the grades' names; None when it is not a built-in one.
    """
    report = scored.report
    score = with_standing_grades(report, name)
    grades = score.grades[0], score.grades[-1]
    left = x + _LEFT
    y = _draw_total(sheet, left, report, name, scheme.title.partition(",")[0] if scheme else name)
    y = _draw_statements(sheet, left, y + 20, report)
    pairs = zip(report.scores[name].regions, score.regions, strict=True)
    said = {region.code: _said(before, region) for before, region in pairs}
    y = _draw_table(sheet, left, y + 14, score.regions, grades, said)
    y = _draw_legend(sheet, left, y + 20, scheme) if scheme and scheme.num_grades <= 5 else y
    y = _draw_map(sheet, left, y + 26, scored, name, grades)
    for other in other_scores(report):
        y = sheet.paragraph(left, y + 12, other, 24, MUTED, width=_INNER)
    y = _draw_quality(sheet, left, y + 20, report.quality.flags)
    return _draw_origin(sheet, left, y + 18, report)


def draw_refused_panel(sheet: Sheet, x: float, report: SeverityReport) -> float:
    """Draw the panel of an image without a score, with nothing that looks like one, and return the y of its end."""
    left = x + _LEFT
    sheet.text(left, 72, "No score", 60, TEXT, weight=SEMIBOLD)
    state = "This X-ray was skipped." if report.status == "skipped" else "This file could not be used."
    y = sheet.paragraph(left, 100, state, 28, MUTED, width=_INNER)
    y = sheet.paragraph(left, y + 24, report.message or "", 28, TEXT, width=_INNER)
    code = report.reason or report.error or ""
    y = sheet.paragraph(left, y + 20, f"Code: {code}", 24, MUTED, width=_INNER)
    if report.quality.flags:
        y = _draw_quality(sheet, left, y + 26, report.quality.flags)
    return _draw_origin(sheet, left, y + 18, report)


def _draw_total(sheet: Sheet, left: float, report: SeverityReport, name: str, title: str) -> float:
    score = report.standing_score(name)
    sheet.text(left, 58, f"{title}, {score.note} only" if score.note else title, 30, MUTED, weight=SEMIBOLD)
    width = sheet.text(left - 6, 218, str(score.points), 176, TEXT, weight=SEMIBOLD)
    sheet.text(left + width + 14, 218, f"of {score.points_max}", 56, MUTED)
    top, step = 252.0, _INNER / max(1, score.points_max)
    if score.likely is not None:
        low, high = score.likely
        coverage = f"{report.scores[name].total_interval_coverage:.0%} interval"
        sheet.text(left + _INNER, 166, f"{low}–{high}", 56, TEXT, weight=SEMIBOLD, anchor="rs")
        sheet.text(left + _INNER, 204, coverage, 26, MUTED, anchor="rs")
    sheet.rectangle(left, top, _INNER, 14, TILE, radius=7)
    if score.likely is not None:
        sheet.rectangle(left + low * step, top, max(14.0, (high - low) * step), 14, MUTED, radius=7)
    sheet.rectangle(left + min(_INNER - 8, max(0.0, score.points * step - 4)), top - 9, 8, 32, TEXT, radius=4)
    return top + 30


def _draw_statements(sheet: Sheet, left: float, top: float, report: SeverityReport) -> float:
    """Say who signed and what changed; a superseded result is told over the picture."""
    y = top
    statement = standing_statement(report) if report.standing.state != "superseded" else None
    change = f"{report.change.words[:1].upper()}{report.change.words[1:]}" if report.change else None
    for text in (statement, change):
        if text:
            y = sheet.paragraph(left, y, text, 27, TEXT, width=_INNER, weight=SEMIBOLD) + 6
    return y


def _said(before: RegionScore, region: RegionScore) -> str:
    """Return what a tile says below the zone's name: how sure the model was, or what it said where a reader differs."""
    if region.grade is None:
        return "left out" if before.grade is not None else "too little lung"
    if before.grade is None:
        return "by the reader alone"
    return format_likely(before) if before.grade == region.grade else f"model said {before.grade}"


def _draw_table(
    sheet: Sheet,
    left: float,
    top: float,
    regions: Sequence[RegionScore],
    grades: tuple[int, int],
    said: dict[str, str],
) -> float:
    """Draw a tile for each zone, the patient's right lung in the left column as on the image."""
    columns = _columns(regions)
    rows = max(len(column) for column in columns)
    gap = 12.0
    width = (_INNER - gap * (len(columns) - 1)) / len(columns)
    height = min(104.0, 372.0 / rows - gap)
    heads = ("Right lung", "Left lung") if len(columns) == 2 else ("Zones",)
    for index, (column, head) in enumerate(zip(columns, heads, strict=True)):
        x = left + index * (width + gap)
        sheet.text(x, top + 24, head, 26, MUTED, weight=SEMIBOLD)
        for row, region in enumerate(column):
            _draw_tile(sheet, x, top + 42 + row * (height + gap), width, height, region, grades, said[region.code])
    return top + 42 + rows * (height + gap) - gap


def _draw_tile(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    height: float,
    region: RegionScore,
    grades: tuple[int, int],
    said: str,
) -> None:
    colour = grade_colour(region, grades)
    side = min(height, 84.0)
    sheet.rectangle(x, y, width, height, TILE, radius=14)
    sheet.rectangle(x, y, side, height, colour, radius=14)
    digit = side * 0.72
    sheet.text(
        x + side / 2,
        y + height / 2 + digit * 0.36,
        grade_mark(region),
        digit,
        ink_on(colour),
        weight=SEMIBOLD,
        anchor="ms",
    )
    size = min(27.0, height * 0.34)
    sheet.text(x + side + 14, y + height * 0.44, f"{region.code}  {region.place}", size, TEXT, weight=SEMIBOLD)
    sheet.text(x + side + 14, y + height * 0.78, said, size * 0.88, MUTED)


def _draw_legend(sheet: Sheet, left: float, top: float, scheme: Scheme) -> float:
    y = top
    for index, (grade, grade_name) in enumerate(zip(scheme.grades, scheme.grade_names, strict=True)):
        colour = severity_colour(index / (scheme.num_grades - 1))
        sheet.rectangle(left, y, 30, 30, colour, radius=7)
        sheet.text(left + 15, y + 23, str(grade), 22, ink_on(colour), weight=SEMIBOLD, anchor="ms")
        sheet.text(left + 44, y + 23, grade_name, 24, MUTED)
        y += 37
    return y


def _draw_map(
    sheet: Sheet, left: float, top: float, scored: ScoredRadiograph, name: str, grades: tuple[int, int]
) -> float:
    """Draw the expected grade over the aligned lung field, with its colour scale."""
    values = scored.severity_map.get(name)
    if values is None or scored.canvas is None or scored.report.alignment is None:
        return top
    side = round(_MAP * sheet.scale)
    field = warp(scored.canvas.pixels, np.array(scored.report.alignment), side)[..., None] * 255
    fraction = (smooth_map(values, side) - grades[0]) / (grades[1] - grades[0])
    cover = MAP_COVER * np.clip(fraction, 0, 1)[..., None]
    blended = np.clip(field * (1 - cover) + severity_colours(fraction) * cover, 0, 255)
    sheet.paste(blended.astype(np.uint8), left, top)
    x = left + _MAP + 26
    bar = severity_colours(np.linspace(1, 0, round((_MAP - 70) * sheet.scale)))[:, None]
    sheet.text(x, top + 22, "Severity map", 26, TEXT, weight=SEMIBOLD)
    sheet.text(x, top + 52, "expected grade", 22, MUTED)
    sheet.paste(np.repeat(bar, round(22 * sheet.scale), axis=1).astype(np.uint8), x, top + 70)
    for grade in range(grades[0], grades[1] + 1):
        y = top + _MAP - (_MAP - 70) * (grade - grades[0]) / (grades[1] - grades[0])
        sheet.text(x + 34, y + 8, str(grade), 22, MUTED)
    return top + _MAP + 8


def _draw_quality(sheet: Sheet, left: float, top: float, flags: Sequence[QualityFlag]) -> float:
    if not flags:
        _draw_tick(sheet, left, top + 6)
        sheet.text(left + 42, top + 32, "X-ray quality: no problems found", 26, TEXT)
        return top + 44
    y = top
    for flag in flags:
        _draw_triangle(sheet, left, y + 6, WARNING if flag.severity != "info" else MUTED)
        y = sheet.paragraph(left + 42, y + 4, flag.message, 25, TEXT, width=_INNER - 42) + 8
    return y


def _draw_origin(sheet: Sheet, left: float, top: float, report: SeverityReport) -> float:
    image, model = report.image, report.model
    acquired = f"Acquired {format_acquired(report.acquired)}" if report.acquired else "Date not recorded"
    lines = [f"{acquired}, view {image.view or 'not recorded'}"]
    if model is not None:
        lines.append(f"Model {model.name} {model.version} ({model.bundle_sha256[:8]})")
        lines.append(f"{model.backend} on {model.device}, {model.precision}")
    y = top
    for line in lines:
        y = sheet.paragraph(left, y, line, 22, MUTED, width=_INNER, weight=REGULAR)
    return y


def format_acquired(acquired: Moment) -> str:
    """Return date and time to the minute as exactly as they are known, with the offset that the file states."""
    if not acquired.has_time:
        return f"{acquired.at}, time not recorded"
    stated = f" (UTC{acquired.offset})" if acquired.offset and acquired.offset_source != "site" else ""
    return f"{acquired.date} {acquired.clock}{stated}"


def _draw_tick(sheet: Sheet, x: float, y: float) -> None:
    sheet.rectangle(x, y, 30, 30, GOOD, radius=15)
    sheet.lines([(x + 8, y + 15), (x + 13, y + 21), (x + 22, y + 10)], INK, width=3)


def _draw_triangle(sheet: Sheet, x: float, y: float, colour: Colour) -> None:
    sheet.polygon([(x + 15, y), (x + 30, y + 28), (x, y + 28)], colour)
    sheet.text(x + 15, y + 25, "!", 22, INK, weight=SEMIBOLD, anchor="ms")


def _columns(regions: Sequence[RegionScore]) -> list[list[RegionScore]]:
    """Regions of the patient's right, then of the left; one column when a region is on both sides."""
    right = [region for region in regions if region.side == "right"]
    left = [region for region in regions if region.side == "left"]
    return [right, left] if right and left and len(right) + len(left) == len(regions) else [list(regions)]
