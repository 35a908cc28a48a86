"""DICOM Structured Report after TID 1500: what a PACS or a research archive can read by machine.

One planar measurement group per region (TID 1410, with the region's outline on the image), one group
for the total, its interval and the doubts about the image. Unverified and preliminary: nobody has signed it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lungsev import __version__
from lungsev.errors import MissingExtraError
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading import tags
from lungsev.report import RegionScore, SchemeScore, SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.source_header import (
    PATIENT_AND_STUDY,
    read_source_header,
    result_uid,
    tamed,
    to_stored_points,
)
from lungsev.system import write_atomically

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_SR = 9101


@dataclass(frozen=True)
class DicomSr:
    """Scored DICOM images; nothing for others."""

    name: str = "dicom_sr"
    folder: str = "dicom"
    suffix: str = ".sr.dcm"

    def __post_init__(self) -> None:
        require_highdicom("DICOM SR output")

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        header = read_source_header(scored) if scored.report.status == "scored" else None
        if header is None:
            return None
        write_atomically(target, encode(structured_report(scored.report, header)))
        return target


def require_highdicom(feature: str) -> None:
    """Raises MissingExtraError when the bedside extra is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise MissingExtraError(feature, "bedside") from None


def structured_report(report: SeverityReport, header: Dataset) -> Dataset:
    """The SR of a scored image.

    Args:
        header: As `read_source_header` gives it.
    """
    from highdicom import sr

    assert report.model is not None
    model = report.model
    algorithm = sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=[report.disclaimer, f"bundle SHA-256 {model.bundle_sha256}", f"precision {model.precision}"],
    )
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=result_uid(report, "device"), name="lungsev", manufacturer_name="lungsev", model_name=model.name
    )
    context = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(_concept("121007", "DCM", "Device"), observer)
    )
    image = tamed(header)
    groups: list[Any] = []
    for name, score in report.scores.items():
        groups += [_region_group(report, header, name, region, algorithm) for region in score.regions]
        groups.append(_total_group(report, header, name, score, algorithm))
    content = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=_concept(*codes.CHEST_IMAGE),
        imaging_measurements=groups,
        title=_concept("126000", "DCM", "Imaging Measurement Report"),
        referenced_images=[image] if _may_be_listed(image) else None,
    )
    document = sr.ComprehensiveSR(
        evidence=[image],
        content=content[0],
        series_instance_uid=result_uid(report, "series.sr"),
        series_number=SERIES_NUMBER_SR,
        sop_instance_uid=result_uid(report, "sr"),
        instance_number=1,
        manufacturer="lungsev",
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="lungsev severity, research use only",
    )
    document.ManufacturerModelName = model.name[:64]
    document.PreliminaryFlag = "PRELIMINARY"
    complete(document, header, report)
    return document


def _may_be_listed(image: Dataset) -> bool:
    """Whether the image has what its entry in the image library, which is optional, tells of it (PS3.16 TID 1603)."""
    return image.get("Modality") in ("CR", "DX") and all(
        len(tags.read_texts(image, name)) == 2 and all(tags.read_texts(image, name))
        for name in ("PatientOrientation", "ImagerPixelSpacing")
    )


def complete(result: Dataset, header: Dataset, report: SeverityReport) -> None:
    """Set what highdicom does not: every patient and study attribute of the image, and both our versions."""
    assert report.model is not None
    result.SoftwareVersions = [__version__, report.model.version]
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            result[keyword] = header[keyword]
    if "SpecificCharacterSet" in header:
        result.SpecificCharacterSet = header.SpecificCharacterSet


def encode(dataset: Dataset) -> bytes:
    """The dataset as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _region_group(report: SeverityReport, header: Dataset, scheme: str, region: RegionScore, algorithm: Any) -> Any:
    from highdicom import sr

    site, laterality = codes.region_site(region)
    outline = to_stored_points(region.polygon, header)
    outline = np.concatenate([outline, outline[:1]])  # an outline is a POLYLINE whose ends meet (PS3.3 C.18.6.1.2)
    source = sr.SourceImageForRegion(str(header.SOPClassUID), str(header.SOPInstanceUID))
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=result_uid(report, f"track.{scheme}.{region.code}"), identifier=f"{scheme} {region.code}"
        ),
        referenced_region=sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, outline, source),
        finding_sites=[
            sr.FindingSite(_concept(*site), laterality=_concept(*laterality) if laterality is not None else None)
        ],
        algorithm_id=algorithm,
        measurements=[
            sr.Measurement(
                name=_concept(*codes.region_code(scheme, region.code)),
                value=region.grade,
                unit=_concept(*codes.SCORE_UNIT),
            )
        ],
    )


def _total_group(report: SeverityReport, header: Dataset, scheme: str, score: SchemeScore, algorithm: Any) -> Any:
    from highdicom import sr

    low, high = codes.interval_codes(scheme)
    values = ((codes.total_code(scheme), score.total), (low, score.total_interval[0]), (high, score.total_interval[1]))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=result_uid(report, f"track.{scheme}.total"), identifier=f"{scheme} total"
        ),
        finding_sites=[sr.FindingSite(_concept(*codes.BOTH_LUNGS))],
        algorithm_id=algorithm,
        source_images=[sr.SourceImageForMeasurementGroup(str(header.SOPClassUID), str(header.SOPInstanceUID))],
        measurements=[
            sr.Measurement(name=_concept(*code), value=value, unit=_concept(*codes.SCORE_UNIT))
            for code, value in values
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_concept(*codes.QUALITY_REMARK), _concept(*codes.quality_code(flag.code)))
            for flag in report.quality.flags
        ],
    )


def _concept(value: str, scheme: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)
