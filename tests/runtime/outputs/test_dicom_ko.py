"""Rejection note of superseded results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from dicom_results import open_output, written
from pydicom.dataset import Dataset
from standing_reports import REASON, in_state, name_patient

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import ImageInfo
from lungsev.standing import OutputState

pytest.importorskip("highdicom")


@pytest.fixture(scope="module")
def scored(make_scored_dicom) -> ScoredRadiograph:
    return make_scored_dicom(edit=name_patient)


def rejected(note: Dataset) -> dict[str, str]:
    """UIDs that the note names, with their class."""
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    return {
        item.ReferencedSOPInstanceUID: item.ReferencedSOPClassUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def test_it_rejects_every_object_that_was_given_out_before(scored, tmp_path: Path) -> None:
    before = [written(name, in_state(scored, state), tmp_path) for name in ("dicom_sr", "dicom_sc") for state in
              ("model", "corrected")]  # fmt: skip
    superseded = in_state(scored, "superseded correction")
    note = written("dicom_ko", superseded, tmp_path)
    assert rejected(note) == {result.SOPInstanceUID: result.SOPClassUID for result in before}
    assert written("dicom_sr", superseded, tmp_path).SOPInstanceUID not in rejected(note), "which says what happened"
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert note.StudyInstanceUID == scored.report.image.study_instance_uid
    assert REASON in note.ContentSequence[0].TextValue
    assert {item.SeriesInstanceUID for item in before} == {
        series.SeriesInstanceUID
        for series in note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    }


def test_a_report_that_does_not_say_what_was_written_rejects_all_kinds(scored, skipped, tmp_path: Path) -> None:
    note = written("dicom_ko", in_state(scored, "superseded", outputs=()), tmp_path)
    assert len(rejected(note)) == 3
    refused = replace(scored, report=replace(skipped.report, image=scored.report.image))
    captured = written("dicom_ko", in_state(refused, "superseded", outputs=()), tmp_path)
    assert list(rejected(captured).values()) == ["1.2.840.10008.5.1.4.1.1.7"], "an unscored image had a picture only"


def test_there_is_none_where_nothing_was_given_out_or_the_result_stands(scored, make_scored, tmp_path: Path) -> None:
    missing = (OutputState("dicom_sr", "missing", "No room."), OutputState("hl7"))
    picture = in_state(make_scored(), "superseded", outputs=(OutputState("json"),))
    picture = replace(picture, report=replace(picture.report, image=ImageInfo()))
    for case in (
        in_state(scored),
        in_state(scored, "corrected"),
        in_state(scored, "superseded", outputs=missing),
        picture,
    ):
        assert open_output("dicom_ko").write(case, tmp_path / "none.ko.dcm") is None


def test_it_needs_no_original(scored, tmp_path: Path) -> None:
    with_original = written("dicom_ko", in_state(scored, "superseded"), tmp_path)
    gone = replace(in_state(scored, "superseded"), source=tmp_path / "gone.dcm")
    note = written("dicom_ko", gone, tmp_path)
    assert (note.PatientName, note.PatientID, note.PatientBirthDate) == (
        with_original.PatientName, with_original.PatientID, with_original.PatientBirthDate,
    )  # fmt: skip
    assert note.SOPInstanceUID == with_original.SOPInstanceUID
    assert pydicom.dcmread(tmp_path / "image.ko.dcm").Modality == "KO"
