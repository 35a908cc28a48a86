"""FHIR R4B: a Bundle with a DiagnosticReport, an Observation for each scheme and the Device that made them.

Preliminary, and labelled AIAST (asserted by artificial intelligence), as HL7 asks of such results.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SchemeScore, SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.codes import Code
from lungsev.runtime.outputs.source_header import result_uuid

_SYSTEMS = {
    "SCT": codes.SNOMED_SYSTEM,
    "LN": codes.LOINC_SYSTEM,
    codes.PRIVATE_SCHEME: codes.PRIVATE_SYSTEM,
}
_AI_ASSERTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}


def encode_fhir(scored: ScoredRadiograph) -> bytes | None:
    """Make the FHIR file of a scored image; None for others."""
    if scored.report.status != "scored":
        return None
    return json.dumps(fhir_bundle(scored.report), indent=1, ensure_ascii=False).encode()


def fhir_bundle(report: SeverityReport) -> dict[str, Any]:
    """Make the Bundle of a scored image, of type `collection`."""
    observations = [_observation(report, name, score) for name, score in report.scores.items()]
    resources = [_diagnostic_report(report, list(report.scores)), *observations, _device(report)]
    return {
        "resourceType": "Bundle",
        "id": str(result_uuid(report, "fhir.bundle")),
        "meta": {"security": [_AI_ASSERTED]},
        "type": "collection",
        "timestamp": datetime.now().astimezone().isoformat(timespec="seconds"),
        "entry": [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources],
    }


def _diagnostic_report(report: SeverityReport, schemes: list[str]) -> dict[str, Any]:
    totals = ", ".join(f"{name} {score.total} of {score.total_max}" for name, score in report.scores.items())
    remarks = " ".join(flag.message for flag in report.quality.flags)
    return {
        "resourceType": "DiagnosticReport",
        "id": str(result_uuid(report, "fhir.report")),
        **_common(report),
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}
                ]
            }
        ],
        "code": _concept(codes.CHEST_IMAGE),
        "result": [{"reference": f"urn:uuid:{result_uuid(report, f'fhir.{name}')}"} for name in schemes],
        "conclusion": f"{totals}. {remarks + ' ' if remarks else ''}{report.disclaimer}",
    }


def _observation(report: SeverityReport, name: str, score: SchemeScore) -> dict[str, Any]:
    low, high = codes.interval_codes(name)
    components = []
    for region in score.regions:
        site, laterality = codes.region_site(region)
        coding = [
            _coding(codes.region_code(name, region.code)),
            _coding(site),
            *([_coding(laterality)] if laterality else []),
        ]
        components.append({"code": {"coding": coding, "text": region.name}, "valueQuantity": _quantity(region.grade)})
    for code, value in zip((low, high), score.total_interval, strict=True):
        components.append({"code": _concept(code), "valueQuantity": _quantity(value)})
    return {
        "resourceType": "Observation",
        "id": str(result_uuid(report, f"fhir.{name}")),
        **_common(report),
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "imaging",
                        "display": "Imaging",
                    }
                ]
            }
        ],
        "code": _concept(codes.total_code(name)),
        "bodySite": _concept(codes.BOTH_LUNGS),
        "device": {"reference": f"urn:uuid:{result_uuid(report, 'fhir.device')}"},
        "valueQuantity": _quantity(score.total),
        "component": components,
        "note": [{"text": report.disclaimer}, *({"text": flag.message} for flag in report.quality.flags)],
    }


def _device(report: SeverityReport) -> dict[str, Any]:
    assert report.model is not None
    return {
        "resourceType": "Device",
        "id": str(result_uuid(report, "fhir.device")),
        "manufacturer": "lungsev",
        "deviceName": [{"name": report.model.name, "type": "model-name"}],
        "version": [{"value": report.model.version}, {"value": f"sha256:{report.model.bundle_sha256}"}],
        "note": [{"text": report.disclaimer}],
    }


def _common(report: SeverityReport) -> dict[str, Any]:
    """Return what report and observations share: label, status, patient, study, time."""
    image = report.image
    common: dict[str, Any] = {"meta": {"security": [_AI_ASSERTED]}, "status": "preliminary"}
    if image.patient_id:
        common["subject"] = {"type": "Patient", "identifier": {"value": image.patient_id}}
    if image.study_instance_uid:
        study = {"system": "urn:dicom:uid", "value": f"urn:oid:{image.study_instance_uid}"}
        common["identifier"] = [{**study, "use": "secondary"}]
    if image.acquired_at:
        # DICOM gives no time zone; the bedside computer is in the zone where the image was taken.
        common["effectiveDateTime"] = (
            datetime.fromisoformat(image.acquired_at).astimezone().isoformat(timespec="seconds")
        )
    return common


def _quantity(value: int) -> dict[str, Any]:
    return {"value": value, "unit": "score", "system": codes.UCUM_SYSTEM, "code": codes.SCORE_UNIT.value}


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [_coding(code)], "text": code.meaning}


def _coding(code: Code) -> dict[str, str]:
    return {"system": _SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}
