"""Text of the pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from exam_makers import scored_report

from lungsev.moment import Moment
from lungsev.runtime.dashboard.pages.formatting import (
    format_age,
    format_exam_age,
    format_instant,
    format_moment,
    format_taken,
    order_is_unknown,
    printable,
)
from lungsev.runtime.patients.history import Exam

NOW = datetime(2026, 11, 22, 12, 0).astimezone()


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-301, "dated in the future"), (-300, "just now"), (0, "just now"), (59, "just now"), (60, "1 min ago"),
     (119, "1 min ago"), (3599, "59 min ago"), (3600, "1 h ago"), (2 * 86400 - 1, "47 h ago"),
     (2 * 86400, "2 days ago"), (3 * 86400 - 1, "2 days ago"), (6 * 86400, "6 days ago")],
)  # fmt: skip
def test_an_age_is_given_in_the_largest_unit_that_fits(seconds: float, age: str) -> None:
    assert format_age(NOW - timedelta(seconds=seconds), NOW) == age


@pytest.mark.parametrize(
    ("iso", "offset", "text"),
    [
        ("2026-11-18T06:50:12.5", None, "18 Nov 2026, 06:50"),
        ("2026-11-18T06:50", "+01:00", "18 Nov 2026, 06:50"),
        ("2026-11-18T06:50", "+00:00", "18 Nov 2026, 06:50 (UTC+00:00)"),
        ("2026-07-18T06:50", "+01:00", "18 Jul 2026, 06:50 (UTC+01:00)"),
        ("2026-11-18T06", None, "18 Nov 2026, 06 h"),
        ("2026-11-08", None, "8 Nov 2026, time not recorded"),
        ("2026-11", None, "Nov 2026, day not recorded"),
        ("2026", None, "2026, day not recorded"),
    ],
)
def test_a_moment_is_shown_as_exactly_as_it_is_known(iso: str, offset: str | None, text: str) -> None:
    moment = Moment.from_iso(iso)
    assert moment is not None
    moment = replace(moment, offset=offset, offset_source="value" if offset else None)
    assert format_moment(moment, ZoneInfo("Europe/Rome")) == text


def test_an_instant_is_shown_in_the_sites_zone() -> None:
    instant = datetime(2026, 11, 18, 5, 50, tzinfo=timezone.utc)
    assert format_instant(instant, ZoneInfo("Europe/Rome")) == "18 Nov 2026, 06:50"


def exam(iso: str | None) -> Exam:
    return Exam("x", scored_report(taken=iso), datetime(2026, 11, 22, 11, 0).timestamp())


@pytest.mark.parametrize(
    ("iso", "taken", "age"),
    [
        ("2026-11-22T09:00:00", "22 Nov 2026, 09:00", "3 h ago"),
        ("2026-11-22", "22 Nov 2026, time not recorded", "today"),
        ("2026-11-21", "21 Nov 2026, time not recorded", "yesterday"),
        ("2026-11-16", "16 Nov 2026, time not recorded", "6 days ago"),
        ("2026-11", "Nov 2026, day not recorded", "Nov 2026"),
        (None, "date not recorded; received 22 Nov 2026, 11:00", "60 min ago"),
        ("2099-01-01T08:00:00", "dated 1 Jan 2099, which cannot be right; received 22 Nov 2026, 11:00", "60 min ago"),
        ("1900-01-01T00:00:00", "dated 1 Jan 1900, which cannot be right; received 22 Nov 2026, 11:00", "60 min ago"),
    ],
)
def test_the_time_and_age_of_an_image_never_say_more_than_its_header(iso: str | None, taken: str, age: str) -> None:
    assert format_taken(exam(iso)) == taken
    assert format_exam_age(exam(iso), NOW) == age.replace("60 min", "1 h")


@pytest.mark.parametrize(
    ("one", "other", "unknown"),
    [("2026-11-20", "2026-11-20", True), ("2026-11-20", "2026-11-20T08:00:00", True), ("2026-11", "2026-11-20", True),
     ("2026-11-20", "2026-11-21", False), ("2026-11-20T08:00:00", "2026-11-20T08:00:00", False),
     (None, "2026-11-20", False)],
)  # fmt: skip
def test_the_order_of_a_day_without_hours_is_unknown(one: str | None, other: str | None, unknown: bool) -> None:
    assert order_is_unknown(exam(one), exam(other)) is unknown


def test_control_direction_and_line_characters_are_replaced() -> None:
    assert printable("a\x1b[31m\u202eb\nc é") == "a\ufffd[31m\ufffdb\ufffdc é"
