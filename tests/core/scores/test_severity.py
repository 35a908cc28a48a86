"""Which parts of two totals can be compared."""

from __future__ import annotations

import pytest

from lungsev.scores.severity import Severity, comparable, compared_zones, moved_points, region_share


def of_zones(codes: str, grade: int = 2) -> Severity:
    parts = tuple((code, Severity(grade, float(grade), 0.5, "m")) for code in codes)
    return Severity(grade * len(codes), float(grade * len(codes)), 0.5 * len(codes), "m", parts=parts, of=6)


def test_only_zones_with_a_grade_on_both_images_are_compared() -> None:
    before, after = comparable(of_zones("ABCDEF", 1), of_zones("BCDEF", 3))
    assert before.regions == after.regions == tuple("BCDEF")
    assert (before.points, before.mean, before.variance) == (5, 5.0, pytest.approx(2.5))
    assert moved_points(before, after) == 10
    assert (compared_zones(after), region_share(after)) == ((5, 6), 5 / 6)


def test_totals_of_all_zones_stay_as_they_are() -> None:
    one, other = of_zones("ABCDEF", 1), of_zones("ABCDEF")
    assert comparable(one, other) == (one, other)
    assert (moved_points(one, other), compared_zones(other), region_share(other)) == (6, None, 1.0)


def test_a_total_whose_zones_are_not_told_apart_is_taken_as_whole() -> None:
    plain = Severity(8, 8.0, 3.0, "Dr A", reader=True)
    assert comparable(plain, of_zones("ABCDE"))[0] == plain
    assert (compared_zones(plain), region_share(plain)) == (None, 1.0)


def test_without_a_common_zone_nothing_moved() -> None:
    assert moved_points(*comparable(of_zones("ABC"), of_zones("DEF"))) is None


def test_a_certain_severity_shares_out_its_variance_evenly() -> None:
    parts = tuple((code, Severity(1, 1.0, 0.0, "m")) for code in "AB")
    assert Severity(2, 2.0, 0.4, "m", parts=parts, of=2).only("A").variance == 0.2
