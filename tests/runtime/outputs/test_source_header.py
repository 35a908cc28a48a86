"""What a result quotes of its image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from lungsev.runtime.outputs.source_header import (
    header_for_highdicom,
    read_source_header,
    result_uid,
    result_uuid,
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


def test_a_result_has_the_same_identity_for_the_same_image_model_and_kind(make_scored) -> None:
    report = make_scored().report
    assert result_uuid(report, "sr") == result_uuid(report, "sr")
    assert result_uid(report, "sr") == f"2.25.{result_uuid(report, 'sr').int}"
    assert result_uuid(report, "sr").version == 4
    others = [
        replace(report, image=replace(report.image, sop_instance_uid="1.2.3")),
        replace(report, image=replace(report.image, pixel_sha256="ff" * 32)),
        replace(report, model=replace(report.model, name="other")),
        replace(report, model=replace(report.model, version="9")),
        replace(report, model=replace(report.model, bundle_sha256="ff" * 32)),
    ]
    found = {result_uuid(report, "pr"), *(result_uuid(other, "sr") for other in [report, *others])}
    assert len(found) == 7


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


def test_an_image_that_is_not_a_dicom_file_or_has_no_series_has_no_header(make_scored, make_scored_dicom) -> None:
    assert read_source_header(make_scored()) is None
    scored = make_scored_dicom()
    for name in ("sop_instance_uid", "study_instance_uid", "series_instance_uid"):
        image = replace(scored.report.image, **{name: None})
        assert read_source_header(replace(scored, report=replace(scored.report, image=image))) is None


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
    header.VOILUTFunction, header.WindowWidth = "SIGMOID", [3, 4]
    kept = header_for_highdicom(header)
    assert (kept.VOILUTFunction, list(kept.WindowWidth)) == ("SIGMOID", [3, 4])
