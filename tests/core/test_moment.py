from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungsev.moment import Moment, parse_date, read_moment

ROME = ZoneInfo("Europe/Rome")


def moment_of(offset: str = "", **values: str) -> Moment:
    moment = read_moment(values, offset)
    assert moment is not None
    return moment


@pytest.mark.parametrize(
    ("values", "at", "precision"),
    [
        ({"AcquisitionDateTime": "20260302081500.25", "StudyDate": "20200101"}, "2026-03-02T08:15:00.25", "fraction"),
        ({"AcquisitionDateTime": "2026030208"}, "2026-03-02T08", "hour"),
        ({"AcquisitionDateTime": "202603"}, "2026-03", "month"),
        ({"AcquisitionDateTime": "2026"}, "2026", "year"),
        ({"AcquisitionDateTime": "20260302", "ContentDate": "20260302", "ContentTime": "081"}, "2026-03-02", "day"),
        ({"AcquisitionDateTime": "20260302", "StudyDate": "20260302", "StudyTime": "06"}, "2026-03-02T06", "hour"),
        ({"StudyDate": "20260302", "StudyTime": "000000"}, "2026-03-02T00:00:00", "second"),
        ({"AcquisitionDate": "20260302", "AcquisitionTime": "08:15:07"}, "2026-03-02T08:15:07", "second"),
        ({"AcquisitionDate": "20260302"}, "2026-03-02", "day"),
        # the content of another day says nothing of the hour of the acquisition
        ({"AcquisitionDate": "20260302", "ContentDate": "20260303", "ContentTime": "0005"}, "2026-03-02", "day"),
        # dates of devices that know none
        ({"AcquisitionDate": "19000101", "AcquisitionTime": "000000", "StudyDate": "20260302"}, "2026-03-02", "day"),
        ({"AcquisitionDate": "19700101", "ContentDate": "20260302", "ContentTime": "08"}, "2026-03-02T08", "hour"),
        ({"AcquisitionDate": "19000101"}, "1900-01-01", "day"),
        ({"AcquisitionDate": "20261302", "StudyDate": "20260302"}, "2026-03-02", "day"),
        ({"AcquisitionDate": "20260302", "AcquisitionTime": "2460"}, "2026-03-02", "day"),
        ({"AcquisitionDate": "20260302", "AcquisitionTime": "235960"}, "2026-03-02T23:59", "minute"),
    ],
)  # fmt: skip
def test_the_most_exact_element_with_a_time_decides(values: dict[str, str], at: str, precision: str) -> None:
    moment = read_moment(values)
    assert moment is not None
    assert (moment.at, moment.precision) == (at, precision)


@pytest.mark.parametrize("value", ["", "yesterday", "18000101", "00010101", "20260230", "2026-3-2"])
def test_what_is_no_date_gives_no_moment(value: str) -> None:
    assert read_moment({"AcquisitionDateTime": value, "StudyDate": value}) is None


@pytest.mark.parametrize(
    ("values", "header", "offset", "source"),
    [
        ({"AcquisitionDateTime": "20260302081500+0100"}, "-0500", "+01:00", "value"),
        ({"AcquisitionDateTime": "20260302081500"}, "-0500", "-05:00", "header"),
        ({"AcquisitionDate": "20260302", "AcquisitionTime": "0815"}, "+05:45", "+05:45", "header"),
        ({"AcquisitionDate": "20260302", "AcquisitionTime": "0815"}, "+1500", None, None),
        ({"AcquisitionDate": "20260302", "AcquisitionTime": "0815"}, "", None, None),
    ],
)
def test_the_offset_of_the_value_goes_before_the_headers(
    values: dict[str, str], header: str, offset: str | None, source: str | None
) -> None:
    moment = read_moment(values, header)
    assert moment is not None
    assert (moment.offset, moment.offset_source) == (offset, source)


def test_moments_of_two_offsets_are_ordered_by_instant() -> None:
    first = moment_of(AcquisitionDateTime="20261118083000+0100")
    second = moment_of(AcquisitionDateTime="20261118080000+0000")
    assert (first.is_before(second), second.is_before(first)) == (True, False)


def test_images_of_one_unknown_hour_have_no_order() -> None:
    day, hour = moment_of(StudyDate="20261118"), moment_of(StudyDate="20261118", StudyTime="0650")
    assert (day.is_before(hour, ROME), hour.is_before(day, ROME), day.is_before(day, ROME)) == (None, None, None)
    assert day.is_before(moment_of(StudyDate="20261119"), ROME) is True


def test_the_hour_that_the_clocks_repeat_has_no_order_without_an_offset() -> None:
    early, late = (moment_of(StudyDate="20261025", StudyTime=time) for time in ("0215", "0245"))
    assert early.is_before(late, ROME) is None
    assert late.latest(ROME) - early.earliest(ROME) == timedelta(minutes=91, microseconds=-1)
    assert (early.with_site_zone(ROME).offset, early.hl7()) == (None, "202610250215")
    assert early.fhir(ROME)["effectivePeriod"] == {
        "start": "2026-10-25T02:15:00+02:00",
        "end": "2026-10-25T02:15:59+01:00",
    }


def test_the_hour_that_the_clocks_skip_is_not_moved() -> None:
    moment = moment_of(StudyDate="20260329", StudyTime="023000").with_site_zone(ROME)
    assert (moment.at, moment.offset, moment.hl7()) == ("2026-03-29T02:30:00", None, "20260329023000")


@pytest.mark.parametrize(
    ("values", "hl7", "fhir"),
    [
        ({"StudyDate": "20261118"}, "20261118", {"effectiveDateTime": "2026-11-18"}),
        ({"AcquisitionDateTime": "202611"}, "202611", {"effectiveDateTime": "2026-11"}),
        (
            {"StudyDate": "20261118", "StudyTime": "000000"},
            "20261118000000+0100",
            {"effectiveDateTime": "2026-11-18T00:00:00+01:00"},
        ),
        (
            {"StudyDate": "20260718", "StudyTime": "0650"},
            "202607180650+0200",
            {"effectiveDateTime": "2026-07-18T06:50:00+02:00"},
        ),
        (
            {"StudyDate": "20260718", "StudyTime": "06"},
            "2026071806+0200",
            {"effectivePeriod": {"start": "2026-07-18T06:00:00+02:00", "end": "2026-07-18T06:59:59+02:00"}},
        ),
        (
            {"AcquisitionDateTime": "20261118083000.123456-0330"},
            "20261118083000.1234-0330",
            {"effectiveDateTime": "2026-11-18T08:30:00.123456-03:30"},
        ),
    ],
)
def test_messages_carry_the_precision_of_the_header(values: dict[str, str], hl7: str, fhir: dict[str, object]) -> None:
    moment = moment_of(**values).with_site_zone(ROME)
    assert (moment.hl7(), moment.fhir(ROME)) == (hl7, fhir)


def test_a_date_before_1980_or_after_tomorrow_is_not_plausible() -> None:
    now = datetime(2026, 11, 28, tzinfo=timezone.utc)
    assert not moment_of(StudyDate="19000101").is_plausible()
    assert moment_of(StudyDate="20261128").is_plausible(now, ROME)
    assert not moment_of(StudyDate="20261130").is_plausible(now, ROME)


def test_the_iso_form_round_trips() -> None:
    for text in ("2026", "2026-11", "2026-11-18", "2026-11-18T06", "2026-11-18T06:50", "2026-11-18T06:50:01.5"):
        moment = Moment.from_iso(text)
        assert moment is not None
        assert moment.at == text
    assert Moment.from_iso("yesterday") is None


def test_a_date_is_parsed_in_both_forms_of_dicom() -> None:
    assert (parse_date("19500102"), parse_date("1950.01.02"), parse_date("ANON")) == ("1950-01-02",) * 2 + (None,)


dates = st.one_of(
    st.just(""),
    st.dates(min_value=datetime(1890, 1, 1).date()).map(lambda date: date.strftime("%Y%m%d")),
    st.dates(min_value=datetime(2026, 1, 1).date()).map(lambda date: date.strftime("%Y.%m.%d")),
    st.text("0123456789.", max_size=10),
)
times = st.one_of(
    st.just(""), st.times().map(lambda time: time.strftime("%H%M%S.%f")), st.text("0123456789:.", max_size=12)
)
offsets = st.sampled_from(["", "+0100", "-0330", "+1400", "+1500", "0100", "junk"])
headers = st.fixed_dictionaries(
    {
        "AcquisitionDateTime": st.builds(lambda *parts: "".join(parts), dates, times, offsets),
        **{f"{name}Date": dates for name in ("Acquisition", "Content", "Series", "Study")},
        **{f"{name}Time": times for name in ("Acquisition", "Content", "Series", "Study")},
    }
)


@given(headers, offsets)
def test_no_digit_of_a_moment_is_invented(values: dict[str, str], offset: str) -> None:
    """Every digit of date and time stands in the element that the moment names as its source, and in that order."""
    moment = read_moment(values, offset)
    if moment is None:
        return
    held = "".join(values[keyword] for keyword in moment.source.split(", "))
    digits = [character for character in held.split("+")[0].split("-")[0] if character.isdigit()]
    assert "".join(digits).startswith("".join(character for character in moment.at if character.isdigit()))
    if moment.offset:
        assert moment.offset.replace(":", "") in (held if moment.offset_source == "value" else offset)
    for zone in (ROME, ZoneInfo("UTC")):
        assert moment.earliest(zone) <= moment.latest(zone)
        assert moment.with_site_zone(zone).at == moment.at
    assert moment.hl7()[:4] == moment.at[:4]


def test_a_date_keeps_the_sites_zone() -> None:
    day = moment_of(StudyDate="20261118").with_site_zone(ROME)
    after_midnight = moment_of(AcquisitionDateTime="20261119003000+0100")
    assert (day.offset, day.zone) == (None, "Europe/Rome")
    assert day.is_before(after_midnight) is True
    night = moment_of(StudyDate="20261025", StudyTime="0230").with_site_zone(ROME)
    assert night.is_before(moment_of(AcquisitionDateTime="20261025021500+0100")) is None
