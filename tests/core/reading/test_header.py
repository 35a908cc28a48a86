"""One record holds what lungsev takes from a DICOM header; what is absent or damaged is empty in it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from odd_images import image_dataset, sequence_of, setting
from pydicom.dataset import Dataset

from lungsev.patient import PatientInfo
from lungsev.reading.header import DicomHeader, read_header

EXPLICIT = "1.2.840.10008.1.2.1"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # odd values are the point here


def header_of(**elements: Any) -> DicomHeader:
    dataset = image_dataset(bits=12, voi="none", rescale=None)
    setting(**elements)(dataset)
    return read_header(dataset, EXPLICIT)


def test_every_element_of_a_radiograph_is_read() -> None:
    elements: dict[str, Any] = {
        "PatientID": "P7",
        "Manufacturer": "Aldea Medical",
        "ManufacturerModelName": "M1",
        "SeriesDescription": "Chest ap",
        "PresentationIntentType": "for presentation",
        "ConversionType": "df",
        "ImageType": ["derived", "primary"],
        "BodyPartExamined": "CHEST",
        "AnatomicRegionSequence": sequence_of(CodeMeaning="Chest"),
        "ViewPosition": "AP",
        "ViewCodeSequence": sequence_of(CodeMeaning="antero-posterior"),
        "NumberOfFrames": 1,
        "PatientOrientation": ["l", "f"],
        "PixelRepresentation": 1,
    }
    header, dataset = header_of(**elements), image_dataset()
    assert (header.sop_class_uid, header.sop_instance_uid) == (dataset.SOPClassUID, dataset.SOPInstanceUID)
    assert (header.study_instance_uid, header.series_instance_uid) == (
        dataset.StudyInstanceUID,
        dataset.SeriesInstanceUID,
    )
    assert (header.patient.id, header.modality, header.view_position) == ("P7", "CR", "AP")
    assert (header.manufacturer, header.model_name, header.series_description) == ("Aldea Medical", "M1", "Chest ap")
    assert (header.presentation_intent, header.conversion_type) == ("FOR PRESENTATION", "DF")
    assert (header.image_type, header.orientation) == (("DERIVED", "PRIMARY"), ("L", "F"))
    assert (header.body_parts, header.view_meanings) == (("CHEST", "Chest"), ("antero-posterior",))
    assert (header.frames, header.samples_per_pixel, header.photometric_interpretation) == (1, 1, "MONOCHROME2")
    assert (header.rows, header.columns) == (160, 128)
    assert (header.bits_allocated, header.bits_stored, header.high_bit, header.signed) == (16, 12, 11, True)
    assert (header.transfer_syntax, header.acquired and header.acquired.at) == (EXPLICIT, "2026-03-02T08:15:00")


def test_an_empty_dataset_has_an_empty_header() -> None:
    header = read_header(Dataset(), EXPLICIT)
    filled = {field.name for field in fields(header) if getattr(header, field.name) not in (None, "", (), False)}
    assert filled == {"transfer_syntax", "patient", "body_parts", "grayscale"}
    assert header.patient == PatientInfo()
    assert header.body_parts == ("",)
    grayscale = header.grayscale
    assert (grayscale.slope, grayscale.intercept, grayscale.padding, grayscale.inverted) == (1.0, 0.0, None, False)
    assert (grayscale.modality_lut, grayscale.voi_luts, grayscale.windows) == (None, (), ())


def test_the_report_gets_the_identity_of_the_image() -> None:
    header = header_of(PatientID="P7")
    info = header.image_info()
    assert (info.patient_id, info.modality, info.view, info.rows, info.columns) == ("P7", "CR", "AP", 160, 128)
    assert (info.sop_class_uid, info.sop_instance_uid) == (header.sop_class_uid, header.sop_instance_uid)
    assert (info.study_instance_uid, info.series_instance_uid) == (
        header.study_instance_uid,
        header.series_instance_uid,
    )
    assert (info.acquired_at, info.transfer_syntax) == ("2026-03-02T08:15:00", EXPLICIT)
    assert (info.sha256, info.pixel_sha256, info.decoder) == (None, None, None)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"AcquisitionDateTime": "20260302081500.5+0100", "StudyDate": "20200101"}, "2026-03-02T08:15:00.5"),
        ({"AcquisitionDate": "20260302", "ContentDate": "20260302", "ContentTime": "0815"}, "2026-03-02T08:15"),
        ({"AcquisitionDate": "2026.03.02", "AcquisitionTime": "08:15:07"}, "2026-03-02T08:15:07"),
        ({}, None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_moment_is_read_from_the_elements(elements: dict[str, str], expected: str | None) -> None:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    moment = read_header(dataset, EXPLICIT).acquired
    assert (moment and moment.at) == expected


def test_the_offset_of_the_header_counts_for_the_acquisition() -> None:
    dataset = Dataset()
    dataset.AcquisitionDate, dataset.AcquisitionTime, dataset.TimezoneOffsetFromUTC = "20260302", "081500", "-0500"
    moment = read_header(dataset, EXPLICIT).acquired
    assert moment is not None
    assert (moment.offset, moment.offset_source) == ("-05:00", "header")


def test_the_patient_has_issuer_qualifiers_name_birth_date_and_sex() -> None:
    facility, qualifiers, dataset = Dataset(), Dataset(), Dataset()
    facility.LocalNamespaceEntityID = "WARD"
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = "1.2.3", "ISO"
    qualifiers.IdentifierTypeCode = "MR"
    qualifiers.AssigningFacilitySequence = [facility]
    dataset.PatientID, dataset.IssuerOfPatientID = "4711", "HOSP-A"
    dataset.IssuerOfPatientIDQualifiersSequence = [qualifiers]
    dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "Doe^Jane", "19500102", "f"
    assert read_header(dataset, EXPLICIT).patient == PatientInfo(
        id="4711",
        issuer="HOSP-A",
        qualifiers={"universal_id": "1.2.3", "universal_id_type": "ISO", "id_type": "MR", "facility": "WARD"},
        name="Doe^Jane",
        birth_date="1950-01-02",
        sex="F",
    )


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "conflict"),
    [
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME1", "IDENTITY", True, True),
        ("MONOCHROME1", None, True, False),
        ("MONOCHROME2", "IDENTITY", False, False),
        ("MONOCHROME2", "INVERSE", False, True),
        ("MONOCHROME2", None, False, False),
        (None, "INVERSE", True, False),
        (None, None, False, False),
    ],
)
def test_polarity_and_its_contradictions_are_read(
    photometric: str | None, shape: str | None, inverted: bool, conflict: bool
) -> None:
    grayscale = header_of(PhotometricInterpretation=photometric, PresentationLUTShape=shape).grayscale
    assert (grayscale.inverted, grayscale.polarity_conflict) == (inverted, conflict)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"), [("2", "-5", (2.0, -5.0)), ("0", None, (1.0, 0.0)), (None, "7", (1.0, 7.0))]
)
def test_a_slope_of_zero_reads_as_one(slope: str | None, intercept: str | None, expected: tuple[float, float]) -> None:
    grayscale = header_of(RescaleSlope=slope, RescaleIntercept=intercept).grayscale
    assert (grayscale.slope, grayscale.intercept) == expected


@pytest.mark.parametrize(
    ("named", "function"),
    [("SIGMOID", "SIGMOID"), ("linear_exact", "LINEAR_EXACT"), (None, "LINEAR"), ("SPLINE", "LINEAR")],
)
def test_windows_and_their_function_are_read(named: str | None, function: str) -> None:
    elements = {"WindowCenter": ["100", "200.5", "7"], "WindowWidth": ["50", "70"], "VOILUTFunction": named}
    windows = header_of(**elements).grayscale.windows
    assert [(w.center, w.width, w.function) for w in windows] == [(100.0, 50.0, function), (200.5, 70.0, function)]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, None),
        ({"PixelPaddingValue": 0}, (0, 0)),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}, (4095, 4000)),
        ({"PixelPaddingRangeLimit": 4000}, None),
    ],
)
def test_padding_is_a_value_or_a_range(elements: dict[str, int], expected: tuple[int, int] | None) -> None:
    assert header_of(**elements).grayscale.padding == expected
