"""DICOM structured report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_results import written
from pydicom.dataset import Dataset

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
