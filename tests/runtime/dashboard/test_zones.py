"""Zones as the exam page draws and lists them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from exam_makers import scheme_score, scored_report
from partial_scores import without_zones

from lungsev.report import ImageInfo, RegionScore, SchemeScore
from lungsev.runtime.dashboard.zones import Zone, paired, zones_of

IMAGE = ImageInfo(rows=200, columns=200)
GRADES = dict(zip("ABCDEF", (0, 1, 2, 3, 2, 1), strict=True))


def test_a_zone_holds_all_that_the_page_shows_of_it() -> None:
    zones = zones_of(scheme_score("012321"), IMAGE, GRADES | {"B": 3}, {"A": 1, "B": 2})
    assert zones[0] == Zone(
        code="A", name="right upper zone", side="right", place="upper", model_grade=0, grade=0, previous=1, severity=0,
        likely="likely 0", points="0,0 100,0 100,80 0,80", badge=(6.8, 40.0),
    )  # fmt: skip
    assert zones[1] == Zone(
        code="B", name="right middle zone", side="right", place="middle", model_grade=1, grade=3, previous=2,
        severity=12, likely="could be 0–1", points="0,60 100,60 100,140 0,140", badge=(6.8, 100.0),
    )  # fmt: skip
    assert zones[3] == Zone(
        code="D", name="left upper zone", side="left", place="upper", model_grade=3, grade=3, previous=None,
        severity=12, likely="could be 2–3", points="100,0 200,0 200,80 100,80", badge=(193.2, 40.0),
    )  # fmt: skip
    assert [zone.is_corrected for zone in zones] == [False, True, False, False, False, False]


def test_without_a_previous_image_no_zone_has_a_previous_grade() -> None:
    assert all(zone.previous is None for zone in zones_of(scheme_score("012321"), IMAGE, GRADES))


def test_severity_counts_from_the_schemes_lowest_grade() -> None:
    score = scheme_score("1355", "inha")
    zones = zones_of(score, IMAGE, {region.code: region.grade for region in score.regions})
    assert [(zone.severity, zone.place) for zone in zones] == [
        (0, "upper quadrant"), (6, "lower quadrant"), (12, "upper quadrant"), (12, "lower quadrant"),
    ]  # fmt: skip


def one_sided(name: str, left: float, right: float) -> SchemeScore:
    """A zone A and its mirror image B; x = 100 is between the lungs."""
    score = scheme_score("01", "ralo")
    other = (200.0 - right, 200.0 - left)
    regions = [
        RegionScore(
            code, region_name, side, 1, 1.0, (0.5, 0.5), (1, 1), ((x0, 60.0), (x1, 60.0), (x1, 100.0), (x0, 100.0))
        )
        for code, region_name, side, (x0, x1) in (
            ("A", name, name.split()[0], (left, right)),
            ("B", "other", "both", other),
        )
    ]
    return replace(score, regions=tuple(regions), total_max=4)


@pytest.mark.parametrize(
    ("name", "left", "right", "x"),
    [
        ("right zone", 20.0, 90.0, 20.0),  # the inner edge is near the middle: the digit goes to the outer edge
        ("right zone", 20.0, 60.0, 40.0),  # a zone in the middle of its lung: the digit goes into it
        ("right zone outer", 20.0, 60.0, 20.0),
        ("left zone", 110.0, 180.0, 180.0),
        ("left zone", 140.0, 180.0, 160.0),
        ("both lungs", 20.0, 90.0, 55.0),
    ],
)
def test_a_digit_is_beside_the_lung_or_in_its_zone(name: str, left: float, right: float, x: float) -> None:
    zone = zones_of(one_sided(name, left, right), IMAGE, {"A": 1, "B": 1})[0]
    assert zone.badge == (x, 80.0)


def test_a_digit_stays_on_the_image() -> None:
    score = one_sided("left zone", 110.0, 500.0)
    zone = zones_of(score, ImageInfo(rows=90, columns=300), {"A": 1, "B": 1})[0]
    assert zone.badge == (300 - 10.2, 79.8)
    assert zones_of(score, ImageInfo(), {"A": 1, "B": 1})[0].badge == (1.0, 1.0)


def test_zones_are_paired_when_both_lungs_have_the_same_number() -> None:
    score = scheme_score("012321")
    zones = zones_of(score, IMAGE, GRADES)
    assert [(right.code, left.code) for right, left in paired(zones)] == [("A", "D"), ("B", "E"), ("C", "F")]
    assert paired(zones[:5]) == ()
    assert paired(zones_of(scheme_score("3", "extent"), IMAGE, {"LUNGS": 3})) == ()


def test_a_zone_without_a_grade_has_a_dash_and_says_why() -> None:
    report = without_zones(scored_report(), "C")
    zone = zones_of(report.scores["brixia"], report.image, report.standing_score("brixia").grades)[2]
    assert (zone.digit, zone.severity, zone.likely, zone.follows_lung) == ("–", "none", "hardly any lung here", True)
    assert (zone.grade, zone.model_grade, zone.is_corrected) == (None, None, False)
    corrected = zones_of(report.scores["brixia"], report.image, {**GRADES, "C": 2, "A": None})
    assert [(each.digit, each.is_corrected) for each in corrected[:3]] == [("–", True), ("1", False), ("2", True)]
    assert corrected[0].likely == "left out"


def test_the_digit_of_a_zone_along_its_lung_is_on_the_lateral_edge() -> None:
    score = one_sided("right zone", 20.0, 60.0)
    measured = replace(score, regions=tuple(replace(region, lung_share=0.7) for region in score.regions))
    assert zones_of(measured, IMAGE, {"A": 1, "B": 1})[0].badge == (20.0, 80.0)
