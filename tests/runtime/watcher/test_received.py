from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from exam_makers import scored_report

from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import ImageInfo, ModelInfo
from lungsev.runtime.settings import SiteSettings
from lungsev.runtime.watcher.received import Twin, find_resemblance, reissued, with_site, with_warning

SITE = SiteSettings(timezone="Europe/Rome")
NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)
IMAGE = ImageInfo(
    sop_instance_uid="1.1",
    study_instance_uid="1.2",
    series_instance_uid="1.3",
    accession_number="A1",
    pixel_sha256="0" * 64,
    patient=PatientInfo("4711", "HOSP-A", name="DOE^JANE"),
    acquired=Moment("2026-11-18T08:00:00", "second"),
)


def twin_of(image: ImageInfo, image_id: str = "earlier") -> Twin:
    return Twin(image_id, replace(scored_report(), image=image, patient=image.patient, acquired=image.acquired))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, "duplicate"),
        ({"sop_instance_uid": "1.9"}, "duplicate"),
        ({"patient": PatientInfo("4711", "HOSP-A", name="Doe^Jane^A")}, "duplicate"),
        ({"patient": PatientInfo()}, "duplicate"),
        ({"acquired": None}, "duplicate"),
        ({"acquired": Moment("2026-11-18", "day")}, "duplicate"),
        ({"patient": PatientInfo("4712", "HOSP-A", name="DOE^JANE")}, "reissue"),
        ({"patient": PatientInfo("4711", "HOSP-B", name="DOE^JANE")}, "reissue"),
        ({"patient": PatientInfo("4711", "HOSP-A", name="ROE^RITA")}, "reissue"),
        ({"study_instance_uid": "1.9"}, "reissue"),
        ({"series_instance_uid": "1.9"}, "reissue"),
        ({"accession_number": "A2"}, "reissue"),
        ({"pixel_sha256": "1" * 64}, "same_uid"),
        ({"acquired": Moment("2026-11-19T08:00:00", "second")}, "same_pixels"),
        ({"acquired": Moment("2026-11-18T08:00:00", "second", "+00:00", "value")}, "same_pixels"),
        ({"acquired": Moment("2026-11-18T08:00:00", "second", "+01:00", "value")}, "duplicate"),
    ],
)
def test_what_differs_decides(changed: dict[str, Any], kind: str) -> None:
    found = find_resemblance(replace(IMAGE, **changed), [twin_of(IMAGE)], SITE)
    assert found is not None
    assert found.kind == kind


HALVED = {"decoder": "pillow/openjpeg at half size", "pixel_sha256": "1" * 64, "rows": 2500, "columns": 2048}


@pytest.mark.parametrize(
    ("earlier", "changed", "kind"),
    [
        ({}, {}, "duplicate"),
        ({}, {"patient": PatientInfo("4712", "HOSP-A", name="DOE^JANE")}, "reissue"),
        ({}, {"acquired": Moment("2026-11-19T08:00:00", "second")}, "same_uid"),
        ({}, {"rows": 2501}, "same_uid"),
        ({"decoder": "pillow/openjpeg at half size"}, {}, "same_uid"),
        ({"decoder": None}, {}, "duplicate"),
    ],
)
def test_an_image_read_at_half_size_is_the_same_as_its_copy_in_another_encoding(
    earlier: dict[str, Any], changed: dict[str, Any], kind: str
) -> None:
    """Their pixels cannot be compared: identity, size and time decide."""
    whole = replace(IMAGE, **{"decoder": "native", "rows": 2500, "columns": 2048, **earlier})
    halved = replace(IMAGE, **{**HALVED, **changed})
    for first, second in ((whole, halved), (replace(halved), replace(whole))):
        found = find_resemblance(second, [twin_of(first)], SITE)
        assert found is not None
        assert found.kind == kind


def test_a_late_copy_of_the_wrong_header_is_a_duplicate_and_a_second_correction_replaces_the_first() -> None:
    wrong, right = replace(IMAGE, patient=PatientInfo("WRONG")), IMAGE
    twins = [twin_of(wrong, "wrong"), twin_of(right, "right")]
    late = find_resemblance(wrong, twins, SITE)
    again = find_resemblance(replace(IMAGE, patient=PatientInfo("THIRD")), twins, SITE)
    assert late is not None
    assert again is not None
    assert (late.kind, late.twin.image_id, again.kind, again.twin.image_id) == (
        "duplicate",
        "wrong",
        "reissue",
        "right",
    )


def test_an_image_without_twins_resembles_none() -> None:
    assert find_resemblance(IMAGE, [], SITE) is None


def test_the_sites_issuer_is_that_of_ids_without_one() -> None:
    site = SiteSettings(issuer="WARD")
    plain = replace(scored_report(), patient=PatientInfo("7"))
    assert with_site(plain, site, NOW).patient.issuer == "WARD"
    assert with_site(replace(plain, patient=PatientInfo("7", "HOSP-A")), site, NOW).patient.issuer == "HOSP-A"
    assert with_site(replace(plain, patient=PatientInfo()), site, NOW).patient.issuer is None
    found = find_resemblance(
        replace(IMAGE, patient=PatientInfo("7")), [twin_of(replace(IMAGE, patient=PatientInfo("7", "WARD")))], site
    )
    assert found is not None
    assert found.kind == "duplicate"


def test_the_earlier_score_is_issued_under_the_new_header() -> None:
    earlier = scored_report(grades="333333")
    new = replace(scored_report("RIGHT-2", grades="000000"), image=replace(IMAGE, rows=9))
    report = reissued(ScoredRadiograph(new), earlier).report
    assert (report.scores, report.patient.id, report.image.rows) == (earlier.scores, "RIGHT-2", 9)
    assert report.standing.state == "model"


def test_a_map_of_another_model_is_not_kept() -> None:
    earlier = replace(scored_report(), model=ModelInfo("old", "1", "1f" * 32, "onnxruntime", "cpu", "fp32"))
    scored = ScoredRadiograph(scored_report(), severity_map={"brixia": None})  # type: ignore[dict-item]
    assert reissued(scored, earlier).severity_map == {}
    assert reissued(scored, scored_report()).severity_map == {"brixia": None}


def test_another_image_that_resembles_one_is_scored_with_a_warning() -> None:
    found = find_resemblance(replace(IMAGE, pixel_sha256="1" * 64), [twin_of(IMAGE)], SITE)
    assert found is not None
    quality = with_warning(ScoredRadiograph(scored_report()), found).report.quality
    assert (quality.verdict, [flag.code for flag in quality.flags]) == ("warn", ["same_uid_other_pixels"])
    assert "was scored as earlier" in quality.flags[0].message


@pytest.mark.parametrize(
    ("taken", "codes"),
    [("2099-12-31", ["date_not_plausible"]), ("1900-01-01", ["date_not_plausible"]), ("2026-11-28", [])],
)
def test_a_date_that_cannot_be_right_is_told(taken: str, codes: list[str]) -> None:
    report = with_site(scored_report(taken=taken), SITE, NOW)
    assert [flag.code for flag in report.quality.flags] == codes
    assert all(taken in flag.message for flag in report.quality.flags)
