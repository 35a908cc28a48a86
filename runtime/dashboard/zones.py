"""The regions of an image as the exam page draws and lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lungsev.drawing.radiograph_view import NO_GRADE
from lungsev.report import ImageInfo, RegionScore, SchemeScore, format_likely
from lungsev.runtime.dashboard.style import severity_step

_MARGIN = 0.034  # of the image's longer side: a badge's distance from the border, at least


@dataclass(frozen=True)
class Zone:
    """A region of an image.

    Attributes:
        place: The name without side and without "zone".
        model_grade: As scored; None where the model gave no grade.
        grade: As corrected, or else as scored; None where it is not assessable.
        previous: The grade of the previous scored image.
        severity: Step of the grade's colour.
        points: Outline in image pixels, as SVG writes them.
        badge: Where the digit's middle goes, in image pixels.
        follows_lung: Whether it is drawn along its lung, not as a rectangle.
    """

    code: str
    name: str
    side: str
    place: str
    model_grade: int | None
    grade: int | None
    previous: int | None
    severity: int | str
    likely: str
    points: str
    badge: tuple[float, float]
    follows_lung: bool = False

    @property
    def digit(self) -> str:
        """The grade; a dash where there is none."""
        return NO_GRADE if self.grade is None else str(self.grade)

    @property
    def is_corrected(self) -> bool:
        """Whether a reader gave another grade than the model."""
        return self.grade != self.model_grade


def zones_of(
    score: SchemeScore,
    image: ImageInfo,
    grades: Mapping[str, int | None],
    previous: Mapping[str, int | None] | None = None,
) -> tuple[Zone, ...]:
    """Make the zones of a score.

    Args:
        score: The score of a scheme.
        image: The scored image, for its size.
        grades: Current grade of every region; None where it is not assessable.
        previous: Grades of the previous scored image.
    """
    corners = [x for region in score.regions for x, _ in region.polygon]
    middle = sum(corners) / len(corners)
    lowest, highest = score.grades[0], score.grades[-1]
    return tuple(
        Zone(
            code=region.code,
            name=region.name,
            side=region.side,
            place=region.place,
            model_grade=region.grade,
            grade=grades[region.code],
            previous=(previous or {}).get(region.code),
            severity=severity_step(grades[region.code], lowest, highest),
            likely=format_likely(region) if grades[region.code] is not None else _why(region),
            points=" ".join(f"{x:g},{y:g}" for x, y in region.polygon),
            badge=_badge(region, middle, image),
            follows_lung=region.lung_share is not None,
        )
        for region in score.regions
    )


def _why(region: RegionScore) -> str:
    return "hardly any lung here" if region.grade is None else "left out"


def paired(zones: tuple[Zone, ...]) -> tuple[tuple[Zone, Zone], ...]:
    """Return the zones of both lungs side by side, right first; nothing when the sides do not match."""
    right, left = ([zone for zone in zones if zone.side == side] for side in ("right", "left"))
    return tuple(zip(right, left, strict=True)) if 2 * len(right) == 2 * len(left) == len(zones) else ()


def _badge(region: RegionScore, middle: float, image: ImageInfo) -> tuple[float, float]:
    """Return the middle of the zone's lateral edge, off the lung; the zone's own middle for zones that are not lateral.

    Args:
        region: The zone.
        middle: x between the lungs.
        image: For its size.
    """
    rows, columns = image.rows or 1, image.columns or 1
    xs, ys = [x for x, _ in region.polygon], [y for _, y in region.polygon]
    inner = min(abs(max(xs) - middle), abs(min(xs) - middle))
    lateral = region.side != "both" and (
        inner < 0.2 * (max(xs) - min(xs))
        or "outer" in region.name
        or (region.lung_share is not None and "inner" not in region.name)  # it reaches across its whole lung
    )
    x = (min(xs) if region.side == "right" else max(xs)) if lateral else (min(xs) + max(xs)) / 2
    y = (min(ys) + max(ys)) / 2
    margin = _MARGIN * max(rows, columns)
    return round(min(max(x, margin), columns - margin), 1), round(min(max(y, margin), rows - margin), 1)
