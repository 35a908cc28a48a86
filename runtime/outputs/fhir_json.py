"""FHIR R4B: a transaction with Patient, Device, an Observation for each scheme and a DiagnosticReport.

Patient and Device are created where the server has none (conditional create); Observations and DiagnosticReport are
replaced where the server has them (conditional update). So sending twice makes no second resource, and a revision
replaces the one before it. Servers give the ids: not every server lets a client choose them.

Preliminary, and labelled AIAST (asserted by artificial intelligence) as HL7 asks of such results, until a reader signs.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone, tzinfo
from typing import Any
from urllib.parse import quote

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import ImageInfo, SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.codes import Code
from lungsev.runtime.outputs.fhir_subject import patient_resource, plain, reference_study
from lungsev.runtime.outputs.result_identity import image_uuid, result_uuid
from lungsev.statements import SIGNED, as_standing_in, change_percent, is_amended, remarks, signer, warnings

_SYSTEMS = {
    "SCT": codes.SNOMED_SYSTEM,
    "LN": codes.LOINC_SYSTEM,
    "UCUM": codes.UCUM_SYSTEM,
    codes.PRIVATE_SCHEME: codes.PRIVATE_SYSTEM,
}
_V2 = "http://terminology.hl7.org/CodeSystem/v2-"
_AI_ASSERTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
_RADIOLOGY = {"system": f"{_V2}0074", "code": "RAD", "display": "Radiology"}
_IMAGING = {
    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
    "code": "imaging",
    "display": "Imaging",
}
_UNKNOWN = {
    "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
    "code": "unknown",
    "display": "Unknown",
}
_RESULTS = "urn:lungsev:result"  # not urn:uuid, for which servers put the ids of resources in a transaction


def encode_fhir(scored: ScoredRadiograph, zone: tzinfo | None) -> bytes | None:
    """Make the FHIR file of a scored image; None for others.

    Raises:
        LungsevError: FHIR cannot hold the patient's id.
    """
    if scored.report.status != "scored":
        return None
    return json.dumps(fhir_bundle(scored.report, zone), indent=1, ensure_ascii=False).encode()


def fhir_bundle(report: SeverityReport, zone: tzinfo | None = None) -> dict[str, Any]:
    """Make the Bundle of a scored image; `zone` is the site's, None is this computer's."""
    patient = patient_resource(report.patient, report.merged_into)
    subject: dict[str, Any] = {"display": plain(report.patient.name or "") or "Patient not identified"}
    entries = []
    if patient is not None:
        subject = {"reference": _full_url(report, "patient"), "type": "Patient"}
        entries.append(_create(report, "patient", patient))
    entries.append(_create(report, "device", _device(report)))
    common = {**_common(report, zone), "subject": subject}
    names = list(report.scores)
    for name in names:
        stands = as_standing_in(report, name)
        shared = {**_common(stands, zone), "subject": subject}
        entries.append(_replace(report, name, _observation(stands, name, shared)))
    entries.append(_replace(report, "report", _diagnostic_report(report, names, common)))
    now = datetime.now(timezone.utc).astimezone(zone)
    return {
        "resourceType": "Bundle",
        **_meta(report),
        "identifier": {"system": _RESULTS, "value": str(result_uuid(report, "fhir.bundle"))},
        "type": "transaction",
        "timestamp": now.isoformat(timespec="seconds"),
        "entry": entries,
    }


def result_status(report: SeverityReport) -> str:
    """Return the status of DiagnosticReport and Observations."""
    if report.standing.state == "superseded":
        return "entered-in-error"
    if is_amended(report):
        return "amended"
    return "final" if report.standing.state in SIGNED else "preliminary"


def _create(report: SeverityReport, kind: str, resource: dict[str, Any]) -> dict[str, Any]:
    name = resource["resourceType"]
    request = {"method": "POST", "url": name, "ifNoneExist": _search(resource)}
    return {"fullUrl": _full_url(report, kind), "resource": resource, "request": request}


def _replace(report: SeverityReport, kind: str, resource: dict[str, Any]) -> dict[str, Any]:
    request = {"method": "PUT", "url": f"{resource['resourceType']}?{_search(resource)}"}
    return {"fullUrl": _full_url(report, kind), "resource": resource, "request": request}


def _search(resource: dict[str, Any]) -> str:
    """Return the search for a resource's first identifier, escaped as FHIR and then as URLs demand."""
    identifier = resource["identifier"][0]
    parts = (_escape_token(identifier.get("system", "")), _escape_token(identifier["value"]))
    return f"identifier={quote('|'.join(parts), safe=':/')}"


def _escape_token(text: str) -> str:
    """Escape what separates values of a search (R4B, search.html#escaping)."""
    return "".join("\\" + character if character in "\\,$|" else character for character in text)


def _diagnostic_report(report: SeverityReport, schemes: list[str], common: dict[str, Any]) -> dict[str, Any]:
    signed = signer(report)
    contained, study = reference_study(report)
    return {
        "resourceType": "DiagnosticReport",
        **common,
        **({"contained": [contained]} if contained else {}),
        "identifier": [_identifier(report, "report")],
        "category": [{"coding": [_RADIOLOGY]}],
        "code": _concept(codes.CHEST_IMAGE),
        **({"resultsInterpreter": [{"display": plain(signed)}]} if signed else {}),
        "result": [{"reference": _full_url(report, name)} for name in schemes],
        **({"imagingStudy": [study]} if study else {}),
        "conclusion": _conclusion(report),
    }


def _conclusion(report: SeverityReport) -> str:
    """Say the result in sentences, what must be read first at the beginning."""
    totals = []
    for name in report.scores:
        score = report.standing_score(name)
        interval = f" (likely {score.likely[0]}-{score.likely[1]})" if score.likely else ""
        totals.append(f"{name} {score.words}{interval}")
    change = [f"Change: {report.change.words}."] if report.change else []
    return plain(" ".join([*warnings(report), f"{', '.join(totals)}.", *change, *remarks(report)]))


def _observation(report: SeverityReport, name: str, common: dict[str, Any]) -> dict[str, Any]:
    image, score = report.image, report.standing_score(name)
    signed = signer(report)
    uids = (("ImagingStudy", image.study_instance_uid), ("Media", image.sop_instance_uid))
    sources = [
        {"type": kind, "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{plain(uid)}"}}
        for kind, uid in uids
        if uid
    ]
    return {
        "resourceType": "Observation",
        **common,
        "identifier": [_identifier(report, name)],
        "category": [{"coding": [_IMAGING]}],
        "code": _concept(codes.total_code(name)),
        **({"performer": [{"display": plain(signed)}]} if signed else {}),
        "bodySite": _concept(codes.BOTH_LUNGS),
        "device": {"reference": _full_url(report, "device")},
        **({"derivedFrom": sources} if sources else {}),
        **_value(score.total, codes.NO_TOTAL.meaning),
        "component": _components(report, name),
        "note": [{"text": plain(text)} for text in (*warnings(report), *remarks(report))],
    }


def _components(report: SeverityReport, name: str) -> list[dict[str, Any]]:
    score = report.standing_score(name)
    components = []
    for region in report.scores[name].regions:
        site, laterality = codes.region_site(region)
        coding = [
            _coding(codes.region_code(name, region.code)),
            _coding(site),
            *([_coding(laterality)] if laterality else []),
        ]
        why = region.not_assessable or codes.NOT_ASSESSABLE.meaning
        value = _value(score.grades[region.code], why)
        components.append({"code": {"coding": coding, "text": region.name}, **value})
    totals: list[tuple[Code, int]] = []
    if score.interval is not None:
        totals += zip(codes.interval_codes(name), score.interval, strict=True)
    elif score.likely is None and score.model_total is not None:
        totals.append((codes.model_total_code(name), score.model_total))
    if score.partial is not None:
        totals.append((codes.partial_code(name), score.partial.points))
        totals.append((codes.partial_max_code(name), score.partial.points_max))
    components += [{"code": _concept(code), "valueQuantity": _quantity(total)} for code, total in totals]
    if report.change is not None and name == report.main_scheme:
        direction = _coding(codes.direction_code(report.change.direction))
        words = {"coding": [direction], "text": plain(report.change.words)}
        components.append({"code": _concept(codes.CHANGE), "valueCodeableConcept": words})
        if (percent := change_percent(report)) is not None:
            value = _quantity(percent, codes.PERCENT)
            components.append({"code": _concept(codes.CHANGE_PROBABILITY), "valueQuantity": value})
    return components


def _device(report: SeverityReport) -> dict[str, Any]:
    assert report.model is not None
    return {
        "resourceType": "Device",
        "identifier": [_identifier(report, "device")],
        "manufacturer": "lungsev",
        "deviceName": [{"name": report.model.name, "type": "model-name"}],
        "version": [{"value": report.model.version}, {"value": f"sha256:{report.model.bundle_sha256}"}],
        "note": [{"text": report.disclaimer}],
    }


def _common(report: SeverityReport, zone: tzinfo | None) -> dict[str, Any]:
    """Return what report and observations share: label, status, order, time."""
    common: dict[str, Any] = {**_meta(report), "status": result_status(report)}
    if report.image.accession_number:
        number = {
            "type": {"coding": [{"system": f"{_V2}0203", "code": "ACSN", "display": "Accession ID"}]},
            "value": plain(report.image.accession_number),
        }
        common["basedOn"] = [{"type": "ServiceRequest", "identifier": number}]
    if report.acquired is not None:
        common |= report.acquired.fhir(zone)
    return common


def _meta(report: SeverityReport) -> dict[str, Any]:
    return {} if signer(report) else {"meta": {"security": [_AI_ASSERTED]}}


def _identifier(report: SeverityReport, kind: str) -> dict[str, str]:
    return {"system": _RESULTS, "value": _uuid(report, kind)}


def _full_url(report: SeverityReport, kind: str) -> str:
    return f"urn:uuid:{_uuid(report, kind)}"


def _uuid(report: SeverityReport, kind: str) -> str:
    if kind == "device":  # one for all images of a model
        return str(result_uuid(SeverityReport("failed", ImageInfo(), report.model, error="none"), "fhir.device"))
    return str(image_uuid(report, f"fhir.{kind}"))


def _quantity(value: int, unit: Code = codes.SCORE_UNIT) -> dict[str, Any]:
    return {"value": value, "unit": unit.meaning, "system": codes.UCUM_SYSTEM, "code": unit.value}


def _value(value: int | None, absent: str) -> dict[str, Any]:
    """Return the value of an Observation or component, or in words why it has none."""
    if value is not None:
        return {"valueQuantity": _quantity(value)}
    return {"dataAbsentReason": {"coding": [_UNKNOWN], "text": plain(absent)}}


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [_coding(code)], "text": code.meaning}


def _coding(code: Code) -> dict[str, str]:
    return {"system": _SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}
