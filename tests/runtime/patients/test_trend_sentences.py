"""One wording for every screen."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from exam_makers import MODEL, course_exam

from lungsev.moment import Moment
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.trend import TrendPoint, format_taken, patient_trend
from lungsev.runtime.patients.trend_sentences import (
    Headline,
    format_moment,
    headline,
    sentence,
    trend_document,
)
from lungsev.standing import Change

FIRST = Moment("2026-03-02T08:15", "minute")


def point(change: Change | None, **more: object) -> TrendPoint:
    plain = TrendPoint("b", FIRST.earliest(), FIRST, "AP", "m", {"A": 1}, 1, (0, 2), change=change)
    return replace(plain, **more)


WORSE = Change("worse", "probably worse, 92 %", 0.92, 4, "a", 24.0)
NONE = Change("none", "no clear change", 0.6, 1, "a", 6.0)
DRIFTED = Change("none", "no clear change; worse, 97 %, since 2026-03-02 08:15", 0.6, 1, "a", 6.0)
DRIFT = Change("worse", "worse, 97 %", 0.97, 5, "z", 96.0)
OTHER_MODEL = Change("unknown", "scored by another model: not comparable", None, 5, "a", 24.0)
NO_ORDER = Change("unknown", "same day, order unknown", None, -5, "a")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (point(None), "First X-ray of the course."),
        (point(WORSE), "Probably worse, 92 %: +4 points in 24 h since the previous X-ray."),
        (point(NONE), "No clear change since the previous X-ray: +1 point in 6 h."),
        (
            point(DRIFTED, drift=DRIFT, drift_since=FIRST),
            "No clear change since the previous X-ray: +1 point in 6 h. Worse, 97 %, since 2026-03-02 08:15.",
        ),
        (point(OTHER_MODEL), "Scored by another model: not comparable."),
        (point(NO_ORDER), "Same day, order unknown."),
        (
            point(WORSE, stands_out=True, view_changed=True, view=None),
            "Probably worse, 92 %: +4 points in 24 h since the previous X-ray. A single X-ray stands out: the next one "
            "is back at the level before it. Different view from the previous X-ray (not recorded).",
        ),
    ],
)
def test_a_sentence_says_the_change_and_what_may_explain_it(found: TrendPoint, said: str) -> None:
    assert sentence(found) == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, Headline("first", "First X-ray")),
        (point(None), Headline("first", "First X-ray")),
        (point(WORSE), Headline("worse", "Probably worse, 92 %", "+4 points in 24 h since the previous X-ray")),
        (
            point(replace(WORSE, direction="better", words="better, 99 %", points=-4)),
            Headline("better", "Better, 99 %", "-4 points in 24 h since the previous X-ray"),
        ),
        (point(NONE), Headline("steady", "No clear change", "+1 point in 6 h since the previous X-ray")),
        (
            point(DRIFTED, drift=DRIFT, drift_since=FIRST),
            Headline("worse", "Worse, 97 %", "+5 points since 02 Mar 08:15 (+1 point in 6 h since the previous X-ray)"),
        ),
        (point(OTHER_MODEL), Headline("steady", "Scored by another model", "not comparable")),
        (point(NO_ORDER), Headline("steady", "Same day, order unknown", "-5 points beside the previous X-ray")),
    ],
)
def test_a_headline_says_it_in_large_and_in_small(found: TrendPoint | None, said: Headline) -> None:
    assert headline(found) == said


def test_a_date_without_a_time_is_never_shown_with_one() -> None:
    date = Moment("2026-03-02", "day")
    assert (format_moment(FIRST), format_moment(date)) == ("02 Mar 08:15", "02 Mar")
    assert (format_taken(FIRST), format_taken(date)) == ("2026-03-02 08:15", "2026-03-02")


def test_the_document_holds_plain_types_and_a_sentence_for_each_point() -> None:
    exams: list[Exam] = [course_exam(5, 0, name="a"), course_exam(11, 24, name="b")]
    trend = patient_trend(exams)
    assert trend is not None
    data = json.loads(json.dumps(trend_document(trend)))
    assert [shown["acquired_at"][:19] for shown in data["points"]] == ["2026-03-02T08:15:00", "2026-03-03T08:15:00"]
    assert [shown["sentence"] for shown in data["points"]] == [sentence(found) for found in trend.points]
    second = data["points"][1]
    assert second["change"]["against"] == "a"
    assert second["change"]["direction"] == "worse"
    assert second["change"]["probability"] == second["worse"]
    assert second["band"][0] < second["level"] < second["band"][1]
    assert second["moment"]["at"] == "2026-03-03T08:15:00"
    assert MODEL.name in second["model"]


@pytest.mark.parametrize(
    ("at", "short", "long"),
    [
        ("2026-11-20T08:15:30", "20 Nov 08:15", "2026-11-20 08:15"),
        ("2026-11-20T08", "20 Nov 08 h", "2026-11-20 08 h"),
        ("2026-11-20", "20 Nov", "2026-11-20"),
    ],
)
def test_a_moment_is_told_no_more_exactly_than_it_is_known(at: str, short: str, long: str) -> None:
    moment = Moment.from_iso(at)
    assert moment is not None
    assert (format_moment(moment), format_taken(moment)) == (short, long)
