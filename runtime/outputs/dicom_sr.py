"""DICOM Structured Report (TID 1500) for PACS and research archives.

One planar measurement group per region (TID 1410, with the region's outline on the image), one group for the total, its
interval and the quality flags. Preliminary and unverified: no person has signed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lungsev.pipeline import ScoredRadiograph
from lungsev.reading import tags
from lungsev.report import RegionScore, SchemeScore, SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.dicom_file import complete, encode_file
from lungsev.runtime.outputs.source_header import (
    header_for_highdicom,
    read_source_header,
    result_uid,
    to_stored_points,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_SR = 9101


def encode_structured_report(scored: ScoredRadiograph) -> bytes | None:
    """Make the SR file of a scored DICOM image; None for others."""
    header = read_source_header(scored) if scored.report.status == "scored" else None
    return encode_file(structured_report(scored.report, header)) if header is not None else None


def structured_report(report: SeverityReport, header: Dataset) -> Dataset:
    """Make the SR of a scored image whose header `read_source_header` returned."""
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
    image = header_for_highdicom(header)
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
    """Whether the image has what its (optional) entry in the image library needs (PS3.16 TID 1603)."""
    return image.get("Modality") in ("CR", "DX") and all(
        len(tags.read_texts(image, name)) == 2 and all(tags.read_texts(image, name))
        for name in ("PatientOrientation", "ImagerPixelSpacing")
    )


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
