"""A score whose zones have not all a grade: what is a number of it, in memory and in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import jsonschema
import pytest

from lungsev.report import ImageInfo, ModelInfo, SeverityReport
from lungsev.scores.score import PartialTotal, RegionScore, SchemeScore, format_likely
from lungsev.standing import Standing

SCHEMA = json.loads((resources.files("lungsev") / "report_schema_v2.json").read_text(encoding="utf-8"))
MODEL = ModelInfo("lungsev-brixia", "1.2.0", "0f" * 32, "onnxruntime", "cpu", "fp32")


def a_region() -> RegionScore:
    square = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    return RegionScore("A", "right upper zone", "right", 2, 1.83, (0.05, 0.2, 0.62, 0.13), (1, 2), square)


def a_scored_report() -> SeverityReport:
    scores = {"brixia": SchemeScore((a_region(),), 2, 1.83, (1, 3), 0.8, 3)}
    return SeverityReport("scored", ImageInfo(rows=9, columns=9), MODEL, scores=scores)


def test_a_zone_without_a_grade_says_so_in_words() -> None:
    assert format_likely(a_partial_report().scores["brixia"].regions[1]) == "not assessable"


def test_a_total_is_said_out_of_all_zones_and_a_sum_out_of_its_own() -> None:
    whole, part = a_scored_report().standing_score("brixia"), a_partial_report().standing_score("brixia")
    assert (whole.words, whole.points, whole.points_max, whole.likely, whole.note) == ("2 of 3", 2, 3, (1, 3), "")
    assert (part.points, part.points_max, part.likely, part.note) == (2, 3, (1, 3), "1 of 2 zones")
    assert part.words == "2 of 3 (1 of 2 zones)"
    assert (part.total, part.interval, part.model_total, part.total_max) == (None, None, None, 6)


def a_partial_report() -> SeverityReport:
    """A report of two zones, one of which has no lung."""
    known = replace(a_region(), lung_share=0.9)
    missing = RegionScore(
        "C",
        "right lower zone",
        "right",
        None,
        None,
        None,
        None,
        known.polygon,
        0.11,
        "Not assessable: hardly any lung.",
    )
    score = SchemeScore(
        (known, missing), None, None, None, 0.8, 6, partial=PartialTotal(2, 3, ("A",), 2, (1, 3))
    )  # fmt: skip
    frames = (((0.5, 0.0, -0.5), (0.0, 1.0, 0.0)), ((0.5, 0.0, 0.5), (0.0, 1.0, 0.0)))
    return replace(a_scored_report(), scores={"brixia": score}, alignment=frames)


def test_a_zone_that_is_not_assessable_is_no_number_in_json_and_comes_back() -> None:
    report = a_partial_report()
    data = json.loads(report.to_json())
    jsonschema.validate(data, SCHEMA)
    assert SeverityReport.from_json(report.to_json()) == report
    score = data["scores"]["brixia"]
    assert {score[name] for name in ("total", "total_expected")} == {None}
    assert score["total_interval"] is None
    assert score["partial"] == {"points": 2, "points_max": 3, "regions": ["A"], "of": 2, "interval": [1, 3]}
    zone = score["regions"][1]
    assert [zone[name] for name in ("grade", "expected", "probabilities", "likely")] == [None] * 4
    assert (zone["lung_share"], zone["not_assessable"]) == (0.11, "Not assessable: hardly any lung.")
    assert len(data["alignment"]) == len(data["alignment"][0]) == 2
    assert report.scores["brixia"].grades == (0, 1, 2, 3)


def test_what_was_not_measured_is_left_out_of_json() -> None:
    score = json.loads(a_scored_report().to_json())["scores"]["brixia"]
    assert "partial" not in score
    assert not {"lung_share", "not_assessable"} & score["regions"][0].keys()


def test_a_region_has_a_grade_or_a_reason_and_a_score_a_total_or_a_sum() -> None:
    with pytest.raises(ValueError, match="region A needs either a grade or the reason"):
        replace(a_region(), grade=None)
    with pytest.raises(ValueError, match="region A needs either a grade or the reason"):
        replace(a_region(), not_assessable="No lung.")
    with pytest.raises(ValueError, match="either a total or the sum"):
        replace(a_scored_report().scores["brixia"], total=None)


def test_a_signature_covers_what_was_signed_and_nothing_is_taken_from_another_model() -> None:
    partial = a_partial_report()
    agreed = replace(partial, standing=Standing("agreed", 1, {"brixia": {"A": 2}}, "AB"))
    assert agreed.standing_score("brixia").grades == {"A": 2, "C": None}
    full = replace(partial.scores["brixia"].regions[1], grade=3, not_assessable=None)
    scores = {"brixia": replace(partial.scores["brixia"], regions=(a_region(), full), total=5, partial=None)}
    assert replace(agreed, scores=scores).standing_score("brixia").words == "2 of 3 (1 of 2 zones)"


@pytest.mark.parametrize(("likely", "settled"), [((2, 2), True), ((1, 2), True), ((1, 3), False), ((0, 3), False)])
def test_a_grade_is_settled_by_a_likely_range_of_at_most_half_of_all_grades(
    likely: tuple[int, int], settled: bool
) -> None:
    assert replace(a_region(), likely=likely).is_settled == settled


def test_a_zone_that_is_not_assessable_is_no_unsettled_grade() -> None:
    missing = a_partial_report().scores["brixia"].regions[1]
    assert (missing.is_settled, format_likely(missing)) == (False, "not assessable")
