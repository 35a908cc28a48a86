from __future__ import annotations

from dataclasses import replace

import pytest
from exam_makers import MODEL, scored_report, skipped_report
from measured import MEASURED
from partial_scores import without_zones

from lungsev.change import change_between
from lungsev.report_change import (
    change_between_reports,
    is_signed_otherwise,
    source_of,
    standing_region_severities,
    standing_severity,
)
from lungsev.standing import Standing

LOW, HIGH = scored_report(grades="000111"), scored_report(grades="112333")


def test_two_reports_are_compared_by_what_they_hold() -> None:
    change = change_between_reports(LOW, HIGH, 24.0)
    assert change == change_between(standing_severity(LOW, "brixia"), standing_severity(HIGH, "brixia"), 24.0, MEASURED)
    assert (change.direction, change.points, change.hours) == ("worse", 10, 24.0)
    assert change_between_reports(HIGH, LOW, 24.0, "brixia").direction == "better"
    assert change_between_reports(LOW, HIGH, None).obstacle == "order"


def test_another_model_or_one_that_was_not_measured_settles_nothing() -> None:
    other = replace(HIGH, model=replace(MODEL, version="2.0.0"))
    assert change_between_reports(LOW, other, 24.0).obstacle == "model"
    unmeasured = replace(HIGH, scores={"brixia": replace(HIGH.scores["brixia"], repeatability=None)})
    assert change_between_reports(LOW, unmeasured, 24.0).obstacle == "unmeasured"


def test_what_a_reader_signed_stands_and_an_agreement_leaves_the_model() -> None:
    own = {region.code: region.grade for region in HIGH.scores["brixia"].regions}
    agreed = replace(HIGH, standing=Standing("agreed", 2, {"brixia": own}, "Dr A"))
    signed = replace(HIGH, standing=Standing("corrected", 2, {"brixia": {**own, "A": 3}}, "Dr A"))
    unnamed = replace(HIGH, standing=Standing("corrected", 2, {"brixia": {**own, "A": 3}}))
    assert not is_signed_otherwise(agreed, "brixia")
    assert is_signed_otherwise(signed, "brixia")
    assert standing_severity(agreed, "brixia") == standing_severity(HIGH, "brixia")
    found = standing_severity(signed, "brixia")
    assert (found.points, found.mean, found.source, found.reader) == (15, 15.0, "Dr A", True)
    assert standing_severity(unnamed, "brixia").source == "a reader"
    zones = standing_region_severities(signed, "brixia")
    assert (zones["A"].points, zones["A"].reader, list(zones)) == (3, True, list("ABCDEF"))
    assert not standing_region_severities(HIGH, "brixia")["A"].reader


def test_a_report_without_a_score_or_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match="a skipped report has no scheme"):
        change_between_reports(LOW, skipped_report(), 24.0)
    with pytest.raises(KeyError):
        change_between_reports(LOW, HIGH, 24.0, "inha")
    with pytest.raises(ValueError, match="names no model"):
        source_of(replace(HIGH, model=None))


def test_images_are_compared_by_the_zones_that_have_a_grade_on_both() -> None:
    partial = without_zones(HIGH, "C")  # 1 1 - 3 3 3 after 0 0 0 1 1 1
    change = change_between_reports(LOW, partial, 24.0)
    assert (change.points, change.zones) == (8, (5, 6))
    assert change.words.endswith(" (5 of 6 zones)")
    assert change.direction == "worse"
    same = change_between_reports(partial, without_zones(HIGH, "C"), 24.0)
    assert (same.points, same.zones, same.direction) == (0, (5, 6), "none")
    back = change_between_reports(partial, HIGH, 24.0)
    assert (back.points, back.direction) == (0, "none"), "the sixth zone is no change"


def test_images_without_a_zone_in_common_are_not_compared() -> None:
    change = change_between_reports(without_zones(LOW, "ABC"), without_zones(HIGH, "DEF"), 24.0)
    assert (change.obstacle, change.points, change.direction) == ("zones", None, "unknown")
    assert change.words == "not comparable: no zone has a grade on both images"


def test_what_a_reader_wrote_of_fewer_zones_varies_less() -> None:
    grades = {region.code: region.grade for region in HIGH.scores["brixia"].regions}
    left = {code: grade for code, grade in grades.items() if code != "A"}
    full, less = (
        standing_severity(replace(LOW, standing=Standing("corrected", 2, {"brixia": found}, "Dr A")), "brixia")
        for found in (grades, left)
    )
    assert (full.points, less.points, less.regions, less.of) == (13, 12, tuple("BCDEF"), 6)
    assert less.variance == pytest.approx(full.variance * (15 / 18) ** 2)
    assert full.only("BCDEF").points == 12


def test_other_schemes_tell_the_change_where_the_repeatability_weighs_them() -> None:
    measured = replace(MEASURED, evidence=(("brixia", 0.5), ("other", 2.0)), evidence_offset=-1.0)
    scores = {"brixia": replace(HIGH.scores["brixia"], repeatability=measured), "other": LOW.scores["brixia"]}
    both = replace(HIGH, scores=scores)
    brixia, other = (standing_severity(report, "brixia") for report in (HIGH, LOW))
    found = standing_severity(both, "brixia")
    assert (found.points, found.parts) == (brixia.points, brixia.parts)
    assert found.mean == pytest.approx(0.5 * brixia.mean + 2 * other.mean - 1)
    assert found.variance == pytest.approx((0.5 * brixia.variance**0.5 + 2 * other.variance**0.5) ** 2)
    alone = replace(both, scores={"brixia": scores["brixia"]})
    assert standing_severity(alone, "brixia") == brixia
    signed = replace(both, standing=Standing("corrected", 2, {"brixia": dict.fromkeys("ABCDEF", 1)}, "Dr A"))
    assert standing_severity(signed, "brixia").mean == 6.0
    partial = replace(both, scores={**scores, "other": without_zones(LOW, "C").scores["brixia"]})
    assert standing_severity(partial, "brixia") == brixia
