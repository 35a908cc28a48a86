"""Identity of results."""

from __future__ import annotations

from dataclasses import replace

from lungsev.patient import PatientInfo
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.result_identity import image_uid, image_uuid, result_uid, result_uuid, revision_uid


def revised(report: SeverityReport, revision: int) -> SeverityReport:
    return replace(report, standing=replace(report.standing, revision=revision))


def other_models(report: SeverityReport) -> list[SeverityReport]:
    changes = ({"name": "other"}, {"version": "9"}, {"bundle_sha256": "ff" * 32})
    return [replace(report, model=replace(report.model, **change)) for change in changes]


def other_images(report: SeverityReport) -> list[SeverityReport]:
    changes = (
        {"sop_instance_uid": "1.2.3"}, {"pixel_sha256": "ff" * 32}, {"study_instance_uid": "1.2.3"},
        {"series_instance_uid": "1.2.3"}, {"accession_number": "A-2"}, {"acquired_at": "2026-11-23T08:15:00"},
    )  # fmt: skip
    patients = (PatientInfo(id="RIGHT-2"), replace(report.patient, issuer="HOSP-B"))
    return [
        *(replace(report, image=replace(report.image, **change)) for change in changes),
        *(replace(report, patient=patient) for patient in patients),
    ]


def test_a_result_has_the_same_identity_for_the_same_image_model_and_kind(make_scored) -> None:
    report = make_scored().report
    assert result_uuid(report, "sr") == result_uuid(report, "sr")
    assert result_uid(report, "sr") == f"2.25.{result_uuid(report, 'sr').int}"
    assert result_uuid(report, "sr").version == 4
    found = {result_uuid(report, "pr"), *(result_uuid(each, "sr") for each in [report, *other_models(report)])}
    assert len(found) == 5


def test_an_image_sent_again_for_another_patient_or_order_has_results_of_its_own(make_scored) -> None:
    """Else an archive would take the right patient's report for one that it has."""
    report = make_scored().report
    for identity in (result_uid, image_uid):
        assert len({identity(each, "sr") for each in [report, *other_images(report)]}) == 9


def test_a_revision_is_another_object_that_knows_the_one_before_it(make_scored) -> None:
    report = make_scored().report
    found = [result_uid(revised(report, revision), "sr") for revision in (1, 2, 3)]
    assert len(set(found)) == 3
    for revision in (2, 3):
        later = revised(report, revision)
        assert [revision_uid(later, "sr", number) for number in (1, 2, 3)] == found


def test_a_score_of_another_model_knows_the_first_ones_object(make_scored) -> None:
    report = make_scored().report
    model = report.model
    again = revised(replace(report, model=replace(model, version="9")), 2)
    standing = replace(again.standing, first_model=f"{model.name} {model.version} {model.bundle_sha256}")
    assert revision_uid(replace(again, standing=standing), "sr", 1) == result_uid(report, "sr")
    assert revision_uid(again, "sr", 1) != result_uid(report, "sr")


def test_what_all_revisions_share_is_the_same_for_every_model(make_scored) -> None:
    report = make_scored().report
    shared = {image_uuid(each, "hl7") for each in [report, revised(report, 5), *other_models(report)]}
    assert len(shared) == 1
    assert image_uuid(report, "fhir") not in shared
    assert len(image_uid(report, "series.sr")) <= 64
