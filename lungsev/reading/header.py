"""The DICOM header, read once into one record: what acceptance, decoding, grayscale, orientation and the report need.

No later step touches a pydicom dataset. An absent or damaged value is None or empty here; a step that cannot do
without it refuses the image.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from lungsev.moment import Moment, parse_date, read_moment
from lungsev.patient import PatientInfo
from lungsev.reading.codecs import EXPLICIT_BIG
from lungsev.reading.grayscale import Grayscale, Window
from lungsev.reading.tags import (
    read_identifier,
    read_integer,
    read_items,
    read_number,
    read_numbers,
    read_text,
    read_texts,
)
from lungsev.reading.values.luts import read_luts
from lungsev.report import ImageInfo

# What the moment of the exposure is read from.
_MOMENT = (
    "AcquisitionDateTime",
    *(f"{what}{part}" for what in ("Acquisition", "Content", "Series", "Study") for part in ("Date", "Time")),
)


@dataclass(frozen=True)
class DicomHeader:
    """What lungsev takes from the header of a DICOM file.

    Attributes:
        body_parts: Body Part Examined, then the meanings in Anatomic Region Sequence.
        view_meanings: The meanings in View Code Sequence.
        signed: Pixel Representation is 1.
        orientation: Patient Orientation of the rows and of the columns, upper case; empty when absent.
    """

    transfer_syntax: str
    # Identity and description, for the report and for acceptance
    sop_class_uid: str | None
    sop_instance_uid: str | None
    study_instance_uid: str | None
    series_instance_uid: str | None
    accession_number: str | None
    patient: PatientInfo
    acquired: Moment | None
    modality: str | None
    view_position: str | None
    # For acceptance; code strings in upper case
    manufacturer: str | None
    model_name: str | None
    series_description: str | None
    presentation_intent: str
    conversion_type: str
    image_type: tuple[str, ...]
    body_parts: tuple[str, ...]
    view_meanings: tuple[str, ...]
    frames: int | None
    samples_per_pixel: int | None
    photometric_interpretation: str
    # For the pixels
    rows: int | None
    columns: int | None
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    signed: bool
    orientation: tuple[str, ...]
    grayscale: Grayscale

    def image_info(self) -> ImageInfo:
        """Return what the report says of the image before its pixels are decoded."""
        return ImageInfo(
            sop_instance_uid=self.sop_instance_uid,
            study_instance_uid=self.study_instance_uid,
            series_instance_uid=self.series_instance_uid,
            sop_class_uid=self.sop_class_uid,
            accession_number=self.accession_number,
            patient_id=self.patient.id,
            acquired_at=self.acquired.at if self.acquired else None,
            modality=self.modality,
            view=self.view_position,
            rows=self.rows,
            columns=self.columns,
            transfer_syntax=self.transfer_syntax,
            patient=self.patient,
            acquired=self.acquired,
        )


def read_header(dataset: Dataset, transfer_syntax: str) -> DicomHeader:
    """Read every element lungsev uses; nothing is judged here, and a damaged value is no error."""
    photometric_interpretation = _read_code(dataset, "PhotometricInterpretation")
    return DicomHeader(
        transfer_syntax=transfer_syntax,
        sop_class_uid=read_identifier(dataset, "SOPClassUID"),
        sop_instance_uid=read_identifier(dataset, "SOPInstanceUID"),
        study_instance_uid=read_identifier(dataset, "StudyInstanceUID"),
        series_instance_uid=read_identifier(dataset, "SeriesInstanceUID"),
        accession_number=read_identifier(dataset, "AccessionNumber"),
        patient=_read_patient(dataset),
        acquired=_read_moment(dataset),
        modality=read_text(dataset, "Modality"),
        view_position=read_text(dataset, "ViewPosition"),
        manufacturer=read_text(dataset, "Manufacturer"),
        model_name=read_text(dataset, "ManufacturerModelName"),
        series_description=read_text(dataset, "SeriesDescription"),
        presentation_intent=_read_code(dataset, "PresentationIntentType"),
        conversion_type=_read_code(dataset, "ConversionType"),
        image_type=_read_codes(dataset, "ImageType"),
        body_parts=(read_text(dataset, "BodyPartExamined") or "", *_read_meanings(dataset, "AnatomicRegionSequence")),
        view_meanings=_read_meanings(dataset, "ViewCodeSequence"),
        frames=read_integer(dataset, "NumberOfFrames"),
        samples_per_pixel=read_integer(dataset, "SamplesPerPixel"),
        photometric_interpretation=photometric_interpretation,
        rows=read_integer(dataset, "Rows"),
        columns=read_integer(dataset, "Columns"),
        bits_allocated=read_integer(dataset, "BitsAllocated"),
        bits_stored=read_integer(dataset, "BitsStored"),
        high_bit=read_integer(dataset, "HighBit"),
        signed=read_integer(dataset, "PixelRepresentation") == 1,
        orientation=_read_codes(dataset, "PatientOrientation"),
        grayscale=_read_grayscale(dataset, photometric_interpretation, transfer_syntax == EXPLICIT_BIG),
    )


def _read_code(dataset: Dataset, keyword: str) -> str:
    return (read_text(dataset, keyword) or "").upper()


def _read_codes(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(value.upper() for value in read_texts(dataset, keyword))


def _read_meanings(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(read_text(item, "CodeMeaning") or "" for item in read_items(dataset, keyword))


def _read_patient(dataset: Dataset) -> PatientInfo:
    """PS3.3 C.2.2 and C.2.3; the issuer's qualifiers are of table 10-18."""
    birth_date = read_identifier(dataset, "PatientBirthDate")
    return PatientInfo(
        id=read_identifier(dataset, "PatientID"),
        issuer=read_identifier(dataset, "IssuerOfPatientID"),
        qualifiers=_read_qualifiers(dataset),
        name=read_identifier(dataset, "PatientName"),
        birth_date=birth_date and (parse_date(birth_date) or birth_date),
        sex=_read_code(dataset, "PatientSex") or None,
    )


def _read_qualifiers(dataset: Dataset) -> dict[str, str]:
    item = next(iter(read_items(dataset, "IssuerOfPatientIDQualifiersSequence")), None)
    if item is None:
        return {}
    facility = next(iter(read_items(item, "AssigningFacilitySequence")), Dataset())
    jurisdiction = next(iter(read_items(item, "AssigningJurisdictionCodeSequence")), Dataset())
    agency = next(iter(read_items(item, "AssigningAgencyOrDepartmentCodeSequence")), Dataset())
    found = {
        "universal_id": read_identifier(item, "UniversalEntityID"),
        "universal_id_type": read_identifier(item, "UniversalEntityIDType"),
        "id_type": read_identifier(item, "IdentifierTypeCode"),
        "facility": read_identifier(facility, "LocalNamespaceEntityID"),
        "facility_universal_id": read_identifier(facility, "UniversalEntityID"),
        "facility_universal_id_type": read_identifier(facility, "UniversalEntityIDType"),
        "jurisdiction": read_identifier(jurisdiction, "CodeValue"),
        "agency": read_identifier(agency, "CodeValue"),
    }
    return {name: value for name, value in found.items() if value}


def _read_moment(dataset: Dataset) -> Moment | None:
    values = {keyword: read_identifier(dataset, keyword) or "" for keyword in _MOMENT}
    return read_moment(values, read_identifier(dataset, "TimezoneOffsetFromUTC") or "")


def _read_grayscale(dataset: Dataset, photometric_interpretation: str, big_endian: bool) -> Grayscale:
    """PS3.3 C.7.6.3.1.2, C.11.1, C.11.2 and C.11.6."""
    modality_luts, modality_lut_lost = read_luts(dataset, "ModalityLUTSequence", big_endian)
    voi_luts, voi_lut_lost = read_luts(dataset, "VOILUTSequence", big_endian)
    slope, intercept = read_number(dataset, "RescaleSlope"), read_number(dataset, "RescaleIntercept")
    lut_shape = _read_code(dataset, "PresentationLUTShape")
    inverted = photometric_interpretation == "MONOCHROME1" or (
        not photometric_interpretation and lut_shape == "INVERSE"
    )
    return Grayscale(
        slope=slope if slope else 1.0,
        intercept=intercept or 0.0,
        modality_lut=next(iter(modality_luts), None),
        voi_luts=voi_luts,
        lut_unusable=modality_lut_lost or voi_lut_lost,
        windows=_read_windows(dataset),
        inverted=inverted,
        polarity_conflict=lut_shape in ("IDENTITY", "INVERSE") and (lut_shape == "INVERSE") != inverted,
        padding=_read_padding(dataset),
    )


def _read_windows(dataset: Dataset) -> tuple[Window, ...]:
    centers, widths = read_numbers(dataset, "WindowCenter"), read_numbers(dataset, "WindowWidth")
    named = _read_code(dataset, "VOILUTFunction")
    function = named if named in ("LINEAR", "LINEAR_EXACT", "SIGMOID") else "LINEAR"
    return tuple(Window(center, width, function) for center, width in zip(centers, widths, strict=False))  # type: ignore[arg-type]


def _read_padding(dataset: Dataset) -> tuple[int, int] | None:
    """PS3.3 C.7.5.1.1.2: one value, or a range with its limit."""
    value = read_integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = read_integer(dataset, "PixelPaddingRangeLimit")
    return value, value if limit is None else limit
