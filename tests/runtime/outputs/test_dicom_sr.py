"""DICOM structured report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_results import written
from pydicom.dataset import Dataset
from standing_reports import SIGNER, in_state

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import Quality, QualityFlag

pytest.importorskip("highdicom")


@pytest.fixture(scope="module")
def scored(make_scored_dicom) -> ScoredRadiograph:
    return make_scored_dicom()


def test_the_structured_report_holds_every_grade_with_site_and_side(scored, tmp_path: Path) -> None:
    document = written("dicom_sr", scored, tmp_path)
    assert (document.VerificationFlag, document.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    groups = measurement_groups(document)
    score = scored.report.scores["brixia"]
    expected = [
        (region.grade, f"{'right' if region.name.startswith('right') else 'left'}", region.name.split()[1])
        for region in score.regions
    ]
    found = []
    for group in groups[:-1]:
        site = next(item for item in group if item.ConceptNameCodeSequence[0].CodeMeaning == "Finding Site")
        zone = site.ConceptCodeSequence[0].CodeMeaning.split()[0].lower()
        side = site.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning.lower()
        found.append((value_of(group), side, zone))
    assert found == expected
    assert value_of(groups[-1]) == score.total
    assert b"Research use only. Not for clinical use." in (tmp_path / "image.sr.dcm").read_bytes()


def test_the_structured_report_holds_the_doubts_about_the_image(scored, tmp_path: Path) -> None:
    flag = QualityFlag("lung_outline_doubtful", "warn", "The outline of the lungs is ragged.")
    doubted = replace(scored, report=replace(scored.report, quality=Quality("warn", (flag,))))
    document = written("dicom_sr", doubted, tmp_path)
    meanings = [item.ConceptCodeSequence[0].CodeMeaning for item in walk(document) if item.ValueType == "CODE"]
    assert "Lung outline doubtful" in meanings


def test_the_report_outlines_lie_on_the_stored_image(make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom()
    document = written("dicom_sr", scored, tmp_path)
    first = next(item for item in measurement_groups(document)[0] if item.ValueType == "SCOORD")
    points = np.array(first.GraphicData).reshape(-1, 2)
    polygon = np.array(scored.report.scores["brixia"].regions[0].polygon)
    size = np.array([scored.report.image.columns, scored.report.image.rows])
    np.testing.assert_allclose(points[:4], np.clip(polygon, 0, size), atol=0.06)
    np.testing.assert_array_equal(points[0], points[-1])


def test_a_revision_follows_the_report_before_it(scored, tmp_path: Path) -> None:
    first, second, third = (
        written("dicom_sr", in_state(scored, state), tmp_path)
        for state in ("model", "corrected", "superseded correction")
    )
    assert "PredecessorDocumentsSequence" not in first
    for before, after, number in ((first, second, 2), (second, third, 3)):
        (study,) = after.PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        (reference,) = series.ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert reference.ReferencedSOPClassUID == before.SOPClassUID
        assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (before.StudyInstanceUID, before.SeriesInstanceUID)
        assert (after.InstanceNumber, after.SeriesInstanceUID) == (number, before.SeriesInstanceUID)


def test_a_signed_report_is_verified_by_the_signer(make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom(edit=lambda dataset: setattr(dataset, "InstitutionName", "General Hospital"))
    document = written("dicom_sr", in_state(scored, "agreed"), tmp_path)
    (observer,) = document.VerifyingObserverSequence
    assert (str(observer.VerifyingObserverName), observer.VerifyingOrganization) == (SIGNER, "General Hospital")
    assert observer.VerificationDateTime == "20261122103000+0100", "09:30 UTC in the offset of the image"
    assert len(observer.VerifyingObserverIdentificationCodeSequence) == 0
    elsewhere = make_scored_dicom(edit=lambda dataset: setattr(dataset, "InstitutionName", ""))
    (observer,) = written("dicom_sr", in_state(elsewhere, "agreed"), tmp_path).VerifyingObserverSequence
    assert observer.VerifyingOrganization == "HOSP-A"


def test_a_readers_grades_name_no_algorithm_and_the_models_total_stays_readable(scored, tmp_path: Path) -> None:
    def algorithms(state: str) -> list[str]:
        items = walk(written("dicom_sr", in_state(scored, state), tmp_path))
        return [item.TextValue for item in items if item.ConceptNameCodeSequence[0].CodeValue == "111001"]

    assert len(algorithms("model")) == 7
    assert algorithms("corrected") == []
    items = walk(written("dicom_sr", in_state(scored, "corrected"), tmp_path))
    numbers = {item.ConceptNameCodeSequence[0].CodeValue: item for item in items if item.ValueType == "NUM"}
    model = scored.report.scores["brixia"].total
    assert int(numbers["BRIXIA-MODEL"].MeasuredValueSequence[0].NumericValue) == model
    assert not {"BRIXIA-LOW", "BRIXIA-HIGH"} & set(numbers)


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def measurement_groups(document: Dataset) -> list[Dataset]:
    container = next(
        item
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    )
    return [group.ContentSequence for group in container.ContentSequence]


def value_of(group: Dataset) -> int:
    return int(next(item for item in group if item.ValueType == "NUM").MeasuredValueSequence[0].NumericValue)
