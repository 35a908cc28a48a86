"""What a result quotes of its image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from lungsev.errors import LungsevError, UnreadableImageError
from lungsev.patient import PatientInfo
from lungsev.reading.limits import ReadLimits
from lungsev.report import ImageInfo
from lungsev.runtime.outputs.source_header import (
    header_for_highdicom,
    header_of_report,
    read_source_header,
    to_stored_points,
)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(["L", "F"], (10, 20)), (["R", "F"], (90, 20)), (["L", "H"], (10, 180)), (["R", "H"], (90, 180)),
     ([], (10, 20)), (["A", "F"], (10, 20)), (["r", "f"], (90, 20))],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")  # lower case is not allowed in DICOM and read all the same
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


def test_a_header_has_all_that_a_result_must_quote(make_scored_dicom) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.PatientSex = "X"
        dataset.add_new("PatientBirthDate", "LO", "anonymous")
        dataset.add_new("StudyTime", "LO", "noon")
        del dataset.StudyID

    header = read_source_header(make_scored_dicom(edit=edit))
    assert header is not None
    assert "PixelData" not in header
    assert [header.get(name) or "" for name in ("PatientSex", "PatientBirthDate", "StudyTime", "StudyID")] == [""] * 4
    assert header.PatientID
    valid = read_source_header(make_scored_dicom(edit=lambda dataset: setattr(dataset, "PatientSex", "F")))
    assert valid is not None
    assert valid.PatientSex == "F"


def test_an_image_whose_results_could_not_name_it_says_why(make_scored, make_scored_dicom) -> None:
    scored = make_scored_dicom()
    report = scored.report
    too_long = "1.2." + "3" * 68
    cases = [
        (replace(report, image=ImageInfo()), "no DICOM object"),
        (replace(report, image=replace(report.image, sop_class_uid=None)), "no SOP Class UID"),
        (replace(report, image=replace(report.image, study_instance_uid=None)), "no Study Instance UID"),
        (replace(report, image=replace(report.image, series_instance_uid=None)), "no Series Instance UID"),
        (replace(report, image=replace(report.image, sop_instance_uid=too_long)), "SOP Instance UID has 72 characters"),
        (replace(report, image=replace(report.image, sop_instance_uid="film 7")), "not of digits and dots"),
        (replace(report, patient=PatientInfo(id="12\\34")), "patient id has a backslash"),
        (replace(report, patient=PatientInfo(id="1" * 65)), "patient id has 65 characters, DICOM allows 64"),
        (replace(report, patient=PatientInfo(id="1", issuer="A\x1bB")), "issuer of the patient id has a control"),
    ]
    for changed, expected in cases:
        with pytest.raises(LungsevError, match=expected) as caught:
            read_source_header(replace(scored, report=changed))
        assert "12\\34" not in str(caught.value), "an error never names a patient"
    with pytest.raises(UnreadableImageError, match="in memory"):
        read_source_header(replace(scored, source=None))


def test_files_that_only_the_core_can_read_have_a_header_too(make_scored_dicom) -> None:
    scored = make_scored_dicom()
    data = scored.source.read_bytes()
    scored.source.write_bytes(data[132:])
    assert read_source_header(scored).PatientID == scored.report.patient.id
    start = data.index(scored.report.image.transfer_syntax.encode()) + len(scored.report.image.transfer_syntax)
    scored.source.write_bytes(data[start + start % 2 :])
    assert read_source_header(scored).Rows == scored.report.image.rows


def test_a_file_that_grew_beyond_the_limits_is_not_read(make_scored_dicom) -> None:
    scored = make_scored_dicom()
    with scored.source.open("r+b") as stream:
        stream.truncate(ReadLimits().file_bytes + 1)
    with pytest.raises(UnreadableImageError, match="changed"):
        read_source_header(scored)


def test_a_report_gives_a_header_by_itself(make_scored) -> None:
    report = make_scored().report
    patient = PatientInfo(id="7", name="DOE^JANE", birth_date="1950-02-01", sex="F")
    header = header_of_report(replace(report, patient=patient, image=replace(report.image, accession_number="A-1")))
    assert (str(header.PatientName), header.PatientBirthDate, header.PatientSex) == ("DOE^JANE", "19500201", "F")
    assert (header.StudyInstanceUID, header.AccessionNumber) == (report.image.study_instance_uid, "A-1")
    odd = header_of_report(replace(report, patient=PatientInfo(id="7", birth_date="about 1950", sex="?")))
    assert not odd.PatientBirthDate
    assert not odd.PatientSex


def test_what_highdicom_refuses_is_left_out_of_its_header(make_scored_dicom) -> None:
    header = read_source_header(make_scored_dicom())
    assert header is not None
    whole = header_for_highdicom(header)
    assert whole.StudyInstanceUID == header.StudyInstanceUID
    assert not whole.PatientName
    assert (whole.SamplesPerPixel, "WindowCenter" in whole) == (1, "WindowCenter" in header)
    header.VOILUTFunction, header.WindowCenter, header.WindowWidth = "ODD", [1, 2], [3]
    spoilt = header_for_highdicom(header)
    assert not {"VOILUTFunction", "WindowCenter", "WindowWidth"} & set(spoilt.dir())
    header.add_new("RescaleSlope", "LO", "1.2..3")
    header.add_new("RescaleIntercept", "LO", "0")
    header.add_new("FrameOfReferenceUID", "LO", "\u0130\u4e2d")
    header.WindowCenterWidthExplanation, header.RescaleType = ["one", "two", "three"], "x" * 64
    odd = header_for_highdicom(header)
    assert not {"WindowCenterWidthExplanation", "RescaleType"} & set(odd.dir())
    assert not {"RescaleSlope", "RescaleIntercept", "FrameOfReferenceUID"} & set(odd.dir())
    header.VOILUTFunction, header.WindowWidth = "SIGMOID", [3, 4]
    header.WindowCenterWidthExplanation, header.RescaleType = ["one", "two"], "US"
    assert {"WindowCenterWidthExplanation", "RescaleType"} <= set(header_for_highdicom(header).dir())
    kept = header_for_highdicom(header)
    assert (kept.VOILUTFunction, list(kept.WindowWidth)) == ("SIGMOID", [3, 4])
