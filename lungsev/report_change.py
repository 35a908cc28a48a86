"""Change between two reports of one patient, from what stands of each: the Python API of `lungsev.change`.

before, after = model.score("monday.dcm"), model.score("tuesday.dcm")
change = change_between_reports(before, after, hours=24.0)
change.words, change.worse, change.better     # "probably worse, 92 %", 0.92, 0.00
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from lungsev.change import (
    ChangeEstimate,
    Severity,
    change_between,
    model_severity,
    model_source,
    reader_region_severity,
    reader_severity,
)
from lungsev.report import SeverityReport
from lungsev.scores.score import SchemeScore
from lungsev.scores.severity import compared_zones

_UNNAMED_READER = "a reader"


def change_between_reports(
    before: SeverityReport, after: SeverityReport, hours: float | None, scheme: str | None = None
) -> ChangeEstimate:
    """Return the change of the total from one image to a later one, from these two alone.

    Args:
        before: Of the earlier image; scored.
        after: Of the later one; scored.
        hours: Between the two; None when it is not known which came first.
        scheme: None takes the main scheme of the later image.

    Raises:
        ValueError: The later image has no score.
        KeyError: An image has no score of the scheme.
    """
    scheme = scheme or after.main_scheme
    repeatability = after.scores[scheme].repeatability
    return change_between(standing_severity(before, scheme), standing_severity(after, scheme), hours, repeatability)


def standing_severity(report: SeverityReport, scheme: str) -> Severity:
    """Return what is known of the total that stands, or of the sum of the regions that have a grade.

    That is the model's distribution, of all schemes that its repeatability takes as evidence, unless a reader signed
    other grades: one who agrees leaves it as it is.

    Raises:
        KeyError: The image has no score of the scheme.
    """
    score = report.scores[scheme]
    if is_signed_otherwise(report, scheme):
        reader = report.standing.by or _UNNAMED_READER
        standing = report.standing_score(scheme)
        parts = tuple(
            (code, reader_region_severity(grade, score.grades, reader))
            for code, grade in standing.grades.items()
            if grade is not None
        )
        whole = reader_severity(standing.points, standing.points_max, reader)
        return replace(whole, parts=parts, of=len(standing.grades))
    return evidence_severity(report.scores, scheme, source_of(report))


def evidence_severity(scores: Mapping[str, SchemeScore], scheme: str, source: str) -> Severity:
    """Return what all schemes together say of the total of one, as its repeatability weighs them.

    Schemes share the network, and so their errors: their deviations are added, as if the errors were the same. Where a
    scheme has no score, or a region of one no grade, the total's own distribution stands.
    """
    own = model_severity(scores[scheme], source)
    measured = scores[scheme].repeatability
    if measured is None or not measured.evidence or any(name not in scores for name, _ in measured.evidence):
        return own
    parts = [(weight, model_severity(scores[name], source)) for name, weight in measured.evidence]
    if any(compared_zones(part) is not None for part in (own, *(part for _, part in parts))):
        return own
    mean = measured.evidence_offset + sum(weight * part.mean for weight, part in parts)
    deviation = sum(abs(weight) * math.sqrt(part.variance) for weight, part in parts)
    return replace(own, mean=mean, variance=deviation**2)


def standing_region_severities(report: SeverityReport, scheme: str) -> dict[str, Severity]:
    """Return what is known of each region's standing grade, by its code; regions without a grade are left out."""
    return dict(standing_severity(report, scheme).parts)


def is_signed_otherwise(report: SeverityReport, scheme: str) -> bool:
    """Return whether a reader signed other grades than the model's."""
    model = {region.code: region.grade for region in report.scores[scheme].regions}
    return report.standing_score(scheme).grades != model


def source_of(report: SeverityReport) -> str:
    """Return what tells this report's model from another.

    Raises:
        ValueError: The report names no model.
    """
    if report.model is None:
        raise ValueError("the report names no model, so its score cannot be compared")
    return model_source(report.model)
