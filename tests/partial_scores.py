"""Reports on which some zones are not assessable, and of several schemes, for tests of what is shown of them."""

from __future__ import annotations

from dataclasses import replace

from exam_makers import scheme_score

from lungsev.quality.messages import with_missing_zones
from lungsev.report import RegionScore, SchemeScore, SeverityReport
from lungsev.scores.score import PartialTotal


def without_zones(report: SeverityReport, codes: str, scheme: str = "brixia") -> SeverityReport:
    """The report with these zones not assessable, and all zones measured, as `lungsev.grading.decode` would say."""
    score = report.scores[scheme]
    regions = tuple(_unassessed(region) if region.code in codes else _measured(region) for region in score.regions)
    known = {region.code: region.grade for region in regions if region.grade is not None}
    points = sum(known.values())
    interval = (max(0, points - 2), min(3 * len(known), points + 2))
    partial = PartialTotal(points, score.grades[-1] * len(known), tuple(known), len(regions), interval)
    changed = replace(
        score, regions=regions, total=None, total_expected=None, total_interval=None, partial=partial
    )  # fmt: skip
    missing = [region for region in regions if region.grade is None]
    quality = with_missing_zones(report.quality, missing)
    return replace(report, scores={**report.scores, scheme: changed}, quality=quality)


def with_lungs(report: SeverityReport, extent: str = "21", opacity: str = "12") -> SeverityReport:
    """The report with extent and opacity of each lung beside its scores, listed before them."""
    others: dict[str, SchemeScore] = {
        "ralo": scheme_score(extent, "ralo"),
        "ralo_opacity": scheme_score(opacity, "ralo_opacity"),
    }
    return replace(report, scores={**others, **report.scores})


def _unassessed(region: RegionScore) -> RegionScore:
    return replace(
        region, grade=None, expected=None, probabilities=None, likely=None, lung_share=0.12,
        not_assessable="Not assessable: hardly any lung is seen here (12% of the zone).",
    )  # fmt: skip


def _measured(region: RegionScore) -> RegionScore:
    return replace(region, lung_share=0.8)
