"""DICOM Structured Report (TID 1500) for PACS and research archives.

One planar measurement group per region (TID 1410, with the region's outline on the image), one group for the total, its
interval, the change and the quality flags. Preliminary and unverified until a person has signed it; a revision names
the one before it as its predecessor.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import numpy as np

from lungsev.pipeline import ScoredRadiograph
from lungsev.reading import tags
from lungsev.report import RegionScore, SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.dicom_file import complete, document_time, encode_file
from lungsev.runtime.outputs.person_names import to_person_name
from lungsev.runtime.outputs.result_identity import image_uid, result_uid, revision_uid
from lungsev.runtime.outputs.source_header import header_for_highdicom, read_source_header, to_stored_points
from lungsev.statements import change_percent, remarks, signer, warnings

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_SR = 9101
_COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"


def encode_structured_report(scored: ScoredRadiograph, zone: tzinfo | None) -> bytes | None:
    """Make the SR file of a scored DICOM image; None for an image without a score."""
    if scored.report.status != "scored":
        return None
    return encode_file(structured_report(scored.report, read_source_header(scored), zone))


def structured_report(report: SeverityReport, header: Dataset, zone: tzinfo | None = None) -> Dataset:
    """Make the SR of a scored image whose header `read_source_header` returned."""
    from highdicom import sr

    assert report.model is not None
    model = report.model
    algorithm = sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=[report.disclaimer, f"bundle SHA-256 {model.bundle_sha256}", f"precision {model.precision}"],
    )
    image = header_for_highdicom(header)
    groups: list[Any] = []
    for name, score in report.scores.items():
        groups += [_region_group(report, header, name, region, algorithm) for region in score.regions]
        groups.append(_total_group(report, header, name, algorithm))
    content = sr.MeasurementReport(
        observation_context=_observers(report),
        procedure_reported=_concept(*codes.CHEST_IMAGE),
        imaging_measurements=groups,
        title=_concept("126000", "DCM", "Imaging Measurement Report"),
        referenced_images=[image] if _may_be_listed(image) else None,
    )
    _add_statements(content[0], report)
    document = sr.ComprehensiveSR(
        evidence=[image],
        content=content[0],
        series_instance_uid=image_uid(report, "series.sr"),
        series_number=SERIES_NUMBER_SR,
        sop_instance_uid=result_uid(report, "sr"),
        instance_number=report.standing.revision,
        manufacturer="lungsev",
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=_predecessors(report),
        series_description="lungsev severity, research use only",
    )
    document.ManufacturerModelName = model.name[:64]
    if report.standing.state in ("agreed", "corrected"):
        _verify(document, header, report, zone)
    complete(document, header, report, zone)
    return document


def _observers(report: SeverityReport) -> Any:
    """Return the device, and the person who signed (PS3.16 TID 1002)."""
    from highdicom import sr

    assert report.model is not None
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=image_uid(report, "device"), name="lungsev", manufacturer_name="lungsev", model_name=report.model.name
    )
    person = None
    if signed := signer(report):
        person = sr.PersonObserverIdentifyingAttributes(name="^")
        person[0].PersonName = to_person_name(signed)  # highdicom warns of names in one part
    return sr.ObservationContext(
        observer_person_context=sr.ObserverContext(_concept("121006", "DCM", "Person"), person) if person else None,
        observer_device_context=sr.ObserverContext(_concept("121007", "DCM", "Device"), device),
    )


def _predecessors(report: SeverityReport) -> list[Dataset] | None:
    """Return the references to the revision before this one."""
    from pydicom.dataset import Dataset

    if report.standing.revision == 1:
        return None
    before = Dataset()
    before.SOPClassUID = _COMPREHENSIVE_SR
    before.SOPInstanceUID = revision_uid(report, "sr", report.standing.revision - 1)
    before.SeriesInstanceUID = image_uid(report, "series.sr")
    before.StudyInstanceUID = report.image.study_instance_uid
    return [before]


def _verify(document: Dataset, header: Dataset, report: SeverityReport, zone: tzinfo | None) -> None:
    """Sign the document (PS3.3 C.17.2)."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    now = document_time(header, report, zone)
    signed_at = datetime.fromisoformat(report.standing.at.replace("Z", "+00:00")) if report.standing.at else now
    observer = Dataset()
    observer.VerifyingObserverName = to_person_name(signer(report) or "")
    observer.VerifyingOrganization = (
        tags.read_text(header, "InstitutionName") or (report.patient.issuer or "")[:64] or "not recorded"
    )
    observer.VerificationDateTime = signed_at.astimezone(now.tzinfo).strftime("%Y%m%d%H%M%S%z")
    observer.VerifyingObserverIdentificationCodeSequence = Sequence()
    document.VerificationFlag = "VERIFIED"
    document.PreliminaryFlag = "FINAL"
    document.VerifyingObserverSequence = Sequence([observer])


def _add_statements(root: Dataset, report: SeverityReport) -> None:
    """Put the warnings before everything that is reported, the other statements and the time of the image behind it."""
    from highdicom import sr

    contains = sr.RelationshipTypeValues.CONTAINS

    def text(code: codes.Code, value: str) -> Any:
        return sr.TextContentItem(_concept(*code), value, relationship_type=contains)

    items = list(root.ContentSequence)
    first = next((at for at, item in enumerate(items) if item.RelationshipType == "CONTAINS"), len(items))
    items[first:first] = [text(codes.WARNING, warning) for warning in warnings(report)]
    if report.acquired is not None:
        items.append(sr.DateTimeContentItem(_concept(*codes.ACQUIRED), report.acquired.hl7(), contains))
    if report.change is not None:
        items.append(text(codes.CHANGE, report.change.words))
    items += [text(codes.REMARK, remark) for remark in remarks(report)]
    root.ContentSequence = sr.ContentSequence(items, is_root=False)


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
    grade = report.standing_score(scheme).grades[region.code]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=image_uid(report, f"track.{scheme}.{region.code}"), identifier=f"{scheme} {region.code}"
        ),
        referenced_region=sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, outline, source),
        finding_sites=[
            sr.FindingSite(_concept(*site), laterality=_concept(*laterality) if laterality is not None else None)
        ],
        algorithm_id=None if scheme in report.standing.grades else algorithm,
        measurements=None
        if grade is None
        else [
            sr.Measurement(
                name=_concept(*codes.region_code(scheme, region.code)), value=grade, unit=_concept(*codes.SCORE_UNIT)
            )
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(_concept(*codes.ASSESSMENT), _concept(*codes.NOT_ASSESSABLE))]
        if grade is None
        else None,
    )


def _total_group(report: SeverityReport, header: Dataset, scheme: str, algorithm: Any) -> Any:
    from highdicom import sr

    score = report.standing_score(scheme)
    values = [(codes.total_code(scheme), score.total, codes.SCORE_UNIT)] if score.total is not None else []
    if score.interval is not None:
        ends = zip(codes.interval_codes(scheme), score.interval, strict=True)
        values += [(code, end, codes.SCORE_UNIT) for code, end in ends]
    elif score.likely is None and score.model_total is not None:
        values.append((codes.model_total_code(scheme), score.model_total, codes.SCORE_UNIT))
    if score.partial is not None:
        values.append((codes.partial_code(scheme), score.partial.points, codes.SCORE_UNIT))
        values.append((codes.partial_max_code(scheme), score.partial.points_max, codes.SCORE_UNIT))
    percent = change_percent(report)
    if scheme == report.main_scheme and percent is not None:
        values.append((codes.CHANGE_PROBABILITY, percent, codes.PERCENT))
    evaluations = [(codes.total_code(scheme), codes.NO_TOTAL)] if score.total is None else []
    evaluations += [(codes.QUALITY_REMARK, codes.quality_code(flag.code)) for flag in report.quality.flags]
    if scheme == report.main_scheme and report.change is not None:
        evaluations.append((codes.CHANGE, codes.direction_code(report.change.direction)))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=image_uid(report, f"track.{scheme}.total"), identifier=f"{scheme} total"
        ),
        finding_sites=[sr.FindingSite(_concept(*codes.BOTH_LUNGS))],
        algorithm_id=None if scheme in report.standing.grades else algorithm,
        source_images=[sr.SourceImageForMeasurementGroup(str(header.SOPClassUID), str(header.SOPInstanceUID))],
        measurements=[sr.Measurement(_concept(*code), value, _concept(*unit)) for code, value, unit in values],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_concept(*name), _concept(*value)) for name, value in evaluations
        ],
    )


def _concept(value: str, scheme: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)
