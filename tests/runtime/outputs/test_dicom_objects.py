"""SR, presentation state and secondary capture: same patient and study, own series, no verified claim."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lungsev.errors import SkippedImageError, UnreadableImageError
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.read import read_radiograph
from lungsev.report import Quality, QualityFlag
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.outputs.dicom_pr import DicomPr
from lungsev.runtime.outputs.dicom_sc import DicomSc
from lungsev.runtime.outputs.dicom_sr import DicomSr
from lungsev.runtime.outputs.source_header import to_stored_points

pytest.importorskip("highdicom")
FORMATS: list[Callable[[], Output]] = [DicomSr, DicomPr, DicomSc]
EVIL_NAME = "=CMD^\u202e<script>alert(1)</script>"


@pytest.fixture(scope="module")
def scored(make_scored_dicom) -> ScoredRadiograph:
    return make_scored_dicom()


def written(make: Callable[[], Output], scored: ScoredRadiograph, folder: Path) -> Dataset:
    output = make()
    path = output.write(scored, folder / f"image{output.suffix}")
    assert path is not None
    return pydicom.dcmread(path)


@pytest.mark.parametrize("make", FORMATS)
def test_it_joins_the_images_patient_and_study_in_a_series_of_its_own(make, scored, tmp_path: Path) -> None:
    source, result = pydicom.dcmread(scored.source), written(make, scored, tmp_path)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert result[keyword].value == source[keyword].value
    assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert result.SOPInstanceUID != source.SOPInstanceUID
    assert result.Manufacturer == "lungsev"


@pytest.mark.parametrize("make", FORMATS)
def test_its_uid_follows_from_the_image_and_the_model(make, scored, tmp_path: Path) -> None:
    first, second = (written(make, scored, tmp_path) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    newer = replace(scored, report=replace(scored.report, model=replace(scored.report.model, version="9.9.9")))
    assert written(make, newer, tmp_path).SOPInstanceUID != first.SOPInstanceUID


def test_the_three_results_of_an_image_differ_in_their_uids(scored, tmp_path: Path) -> None:
    results = [written(make, scored, tmp_path) for make in FORMATS]
    assert len({result.SOPInstanceUID for result in results}) == 3
    assert len({result.SeriesInstanceUID for result in results}) == 3


@pytest.mark.parametrize("make", FORMATS)
def test_dropped_back_into_the_folder_it_is_not_scored(make, scored, tmp_path: Path) -> None:
    output = make()
    path = output.write(scored, tmp_path / f"image{output.suffix}")
    with pytest.raises((SkippedImageError, UnreadableImageError)):
        read_radiograph(path)


@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: make validate-dicom")
def test_the_fields_own_validator_finds_no_error(make, scored, tmp_path: Path) -> None:
    output = make()
    path = output.write(scored, tmp_path / f"image{output.suffix}")
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")]
    assert not complaints


@pytest.mark.parametrize("make", FORMATS)
def test_an_image_that_lacks_what_every_object_needs_still_gets_a_result(
    make, make_scored_dicom, tmp_path: Path
) -> None:
    def strip(dataset: Dataset) -> None:
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName", "StudyTime"):
            if keyword in dataset:
                delattr(dataset, keyword)

    result = written(make, make_scored_dicom(edit=strip), tmp_path)
    assert "PatientBirthDate" in result
    assert not result.AccessionNumber


def spoil_name(dataset: Dataset) -> None:
    dataset.PatientName = ["Two", "Names"]


def spoil_window(dataset: Dataset) -> None:
    del dataset.WindowWidth


def spoil_rescale(dataset: Dataset) -> None:
    dataset.RescaleSlope = "1"
    if "RescaleIntercept" in dataset:
        del dataset.RescaleIntercept


def spoil_dates(dataset: Dataset) -> None:
    dataset.PatientBirthDate, dataset.PatientSex = "01.02.1950", "?"
    del dataset.PatientOrientation, dataset.ImagerPixelSpacing


@pytest.mark.parametrize("spoil", [spoil_name, spoil_window, spoil_rescale, spoil_dates])
@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values spoilt here
def test_what_is_wrong_in_an_images_header_costs_no_result(make, spoil, make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom(edit=spoil)
    header = pydicom.dcmread(scored.source)
    result = written(make, scored, tmp_path)
    assert result.PatientName == header.PatientName
    assert result.StudyInstanceUID == header.StudyInstanceUID


@pytest.mark.parametrize("make", FORMATS)
def test_a_hostile_name_is_carried_over_as_it_is(make, make_scored_dicom, tmp_path: Path) -> None:
    def rename(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = EVIL_NAME

    assert str(written(make, make_scored_dicom(edit=rename), tmp_path).PatientName) == EVIL_NAME


@pytest.mark.parametrize("make", FORMATS)
def test_images_that_are_no_dicom_or_have_no_score_get_none(make, make_scored, failed, tmp_path: Path) -> None:
    for scored in (make_scored(), failed):
        assert make().write(scored, tmp_path / "image.dcm") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", FORMATS)
def test_a_file_that_changed_after_it_was_scored_is_refused(make, make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom()
    dataset = pydicom.dcmread(scored.source)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.save_as(scored.source)
    with pytest.raises(UnreadableImageError, match="changed"):
        make().write(scored, tmp_path / "image.dcm")
    scored.source.unlink()
    with pytest.raises(UnreadableImageError, match="cannot be read again"):
        make().write(scored, tmp_path / "image.dcm")


def test_the_structured_report_holds_every_grade_with_site_and_side(scored, tmp_path: Path) -> None:
    document = written(DicomSr, scored, tmp_path)
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
    document = written(DicomSr, doubted, tmp_path)
    meanings = [item.ConceptCodeSequence[0].CodeMeaning for item in walk(document) if item.ValueType == "CODE"]
    assert "Lung outline doubtful" in meanings


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def test_the_report_outlines_lie_on_the_stored_image(make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom()
    document = written(DicomSr, scored, tmp_path)
    first = next(item for item in measurement_groups(document)[0] if item.ValueType == "SCOORD")
    points = np.array(first.GraphicData).reshape(-1, 2)
    polygon = np.array(scored.report.scores["brixia"].regions[0].polygon)
    size = np.array([scored.report.image.columns, scored.report.image.rows])
    np.testing.assert_allclose(points[:4], np.clip(polygon, 0, size), atol=0.06)
    np.testing.assert_array_equal(points[0], points[-1])


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(["L", "F"], (10, 20)), (["R", "F"], (90, 20)), (["L", "H"], (10, 180)), (["R", "H"], (90, 180)),
     ([], (10, 20)), (["A", "F"], (10, 20))],
)  # fmt: skip
def test_points_go_back_to_the_stored_matrix(orientation: list[str], stored: tuple[int, int]) -> None:
    header = Dataset()
    header.Rows, header.Columns, header.PatientOrientation = 200, 100, orientation
    np.testing.assert_array_equal(to_stored_points([(10, 20)], header), [stored])
    np.testing.assert_array_equal(to_stored_points([(-10, 900)], header).clip(0, [100, 200]),
                                  to_stored_points([(-10, 900)], header))  # fmt: skip


@pytest.mark.parametrize(
    "orientation", [["L", "F"], ["R", "F"], ["L", "H"], ["R", "H"], ["F", "L"], ["H", "R"], ["F", "R"]]
)
def test_the_way_back_undoes_the_reading(orientation: list[str]) -> None:
    from lungsev.reading.orientation import turn_to_radiological

    stored = np.zeros((40, 30), np.uint16)
    stored[7, 21] = 1
    upright, _ = turn_to_radiological(stored, tuple(orientation))
    (row,), (column,) = np.nonzero(upright)
    header = Dataset()
    header.Rows, header.Columns, header.PatientOrientation = 40, 30, orientation
    np.testing.assert_array_equal(to_stored_points([(column + 0.5, row + 0.5)], header), [(21.5, 7.5)])


def test_the_presentation_state_repeats_window_and_polarity_and_shows_the_digits(
    make_scored_dicom, tmp_path: Path
) -> None:
    for photometric, shape in (("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")):
        state = written(DicomPr, make_scored_dicom(photometric=photometric), tmp_path)
        assert state.PresentationLUTShape == shape
    texts = [item.UnformattedTextValue for item in state.GraphicAnnotationSequence[0].TextObjectSequence]
    assert [text[0] for text in texts[:6]] == list("ABCDEF")
    assert "Not for clinical use" in texts[-1]
    assert len(state.GraphicAnnotationSequence[0].GraphicObjectSequence) == 6


def test_the_presentation_state_keeps_the_images_lookup_table(make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom(voi="lut")
    table = pydicom.dcmread(scored.source).VOILUTSequence[0]
    kept = written(DicomPr, scored, tmp_path).SoftcopyVOILUTSequence[0].VOILUTSequence[0]
    assert list(kept.LUTDescriptor[:2]) == list(table.LUTDescriptor[:2])
    assert kept.LUTDescriptor[2] == 16
    before, after = (np.frombuffer(item.LUTData, "<u2").astype(float) for item in (table, kept))
    np.testing.assert_allclose(after / 65535, before / (2 ** table.LUTDescriptor[2] - 1), atol=1e-5)


def test_the_capture_is_small_compressed_and_readable(scored, tmp_path: Path) -> None:
    capture = written(DicomSc, scored, tmp_path)
    assert max(capture.Rows, capture.Columns) <= 1024
    assert (tmp_path / "image.sc.dcm").stat().st_size < 300_000
    assert capture.LossyImageCompression == "01"
    frame = next(iter(pydicom.encaps.generate_frames(capture.PixelData, number_of_frames=1)))
    picture = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (capture.Rows, capture.Columns, 3)


def test_a_refused_image_gets_a_capture_that_says_so(scored, skipped, tmp_path: Path) -> None:
    report = replace(skipped.report, image=scored.report.image)
    refused = replace(skipped, report=report, source=scored.source)
    assert written(DicomSc, refused, tmp_path).Modality == "OT"
    for make in (DicomSr, DicomPr):
        assert make().write(refused, tmp_path / "none.dcm") is None


def measurement_groups(document: Dataset) -> list[Dataset]:
    container = next(
        item
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    )
    return [group.ContentSequence for group in container.ContentSequence]


def value_of(group: Dataset) -> int:
    return int(next(item for item in group if item.ValueType == "NUM").MeasuredValueSequence[0].NumericValue)


@pytest.mark.parametrize("make", FORMATS)
def test_an_image_with_half_a_header_has_results_too(make, make_scored_dicom, tmp_path: Path) -> None:
    def edit(dataset: Dataset) -> None:
        for keyword in ("ImagerPixelSpacing", "PatientOrientation", "StudyTime", "AccessionNumber"):
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.PatientSex = "U"
        dataset.add_new("PatientBirthDate", "LO", "d14a028c2a3a2bc9")
        dataset.add_new("StudyID", "LO", "26eae465a3069d7d94e44c519d9c7aae")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom warns of odd names and ids
        result = written(make, make_scored_dicom(edit=edit), tmp_path)
    assert result.PatientID
    assert not result.PatientBirthDate
    assert not result.PatientSex
