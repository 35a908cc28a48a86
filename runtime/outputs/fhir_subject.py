"""FHIR forms of what a result is about: the patient with the issuer of the id, and the study of the image."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from urllib.parse import quote

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.person_names import split_name

_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_GENDERS = {"M": "male", "F": "female", "O": "other"}
_REPRESENTATIONS = {"alphabetic": "ABC", "ideographic": "IDE", "phonetic": "SYL"}
_REPRESENTATION_URL = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def patient_resource(patient: PatientInfo, merged_into: PatientInfo | None = None) -> dict[str, Any] | None:
    """Return the Patient, after a merge with the identity that remains first; None when the image names no id.

    Raises:
        LungsevError: The id or its issuer has characters that FHIR does not allow.
    """
    if not patient.id:
        return None
    identities = [found for found in (merged_into, patient) if found is not None]
    if any(_NOT_TEXT.search(text or "") for found in identities for text in (found.id, found.issuer)):
        raise LungsevError(
            "The patient id or its issuer has a control character, which FHIR does not allow: "
            "correct that at the sender and send the image again."
        )
    resource: dict[str, Any] = {"resourceType": "Patient", "identifier": [*map(_identifier, identities)]}
    if names := [_name(name) for name in split_name(patient.name)]:
        resource["name"] = names
    if patient.sex:
        resource["gender"] = _GENDERS.get(patient.sex, "unknown")
    if patient.birth_date and _is_date(patient.birth_date):
        resource["birthDate"] = patient.birth_date
    return resource


def issuer_system(patient: PatientInfo) -> str | None:
    """Return the URI of who gave the id out; None when the image does not say it and the settings name none.

    A universal id of type ISO, UUID or URI is its own; another issuer becomes `urn:lungsev:issuer:` with its name.
    """
    universal, kind = patient.qualifiers.get("universal_id", ""), patient.qualifiers.get("universal_id_type", "")
    if kind == "ISO" and _OID.fullmatch(universal):
        return f"urn:oid:{universal}"
    if kind in ("UUID", "GUID") and _UUID.fullmatch(universal):
        return f"urn:uuid:{universal.lower()}"
    if kind in ("URI", "URL") and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", universal):
        return universal
    parts = [part for part in (patient.issuer, universal, kind if universal else "") if part]
    return "urn:lungsev:issuer:" + ":".join(quote(part, safe="") for part in parts) if parts else None


def reference_study(report: SeverityReport) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return an ImagingStudy to be contained in the report, with series and image, and the reference to it.

    Both are None without a Study Instance UID. The server's own ImagingStudy is found by the reference's identifier.
    """
    image = report.image
    if not image.study_instance_uid:
        return None, None
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{plain(image.study_instance_uid)}"}
    study: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "id": "study",
        "identifier": [identifier],
        "status": "available",
        "subject": {"display": "As of the report"},
    }
    series, instance, sop_class = image.series_instance_uid, image.sop_instance_uid, image.sop_class_uid
    if series and _ID.fullmatch(series):  # the type `id` ends at 64 characters
        modality = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": plain(image.modality or "OT")}
        study["series"] = [{"uid": series, "modality": modality}]
        if instance and _ID.fullmatch(instance) and sop_class:
            of_class = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{plain(sop_class)}"}
            study["series"][0]["instance"] = [{"uid": instance, "sopClass": of_class}]
    return study, {"reference": "#study", "type": "ImagingStudy", "identifier": identifier}


def plain(text: str) -> str:
    """Return a text with spaces for what FHIR does not allow."""
    return _NOT_TEXT.sub(" ", text).strip()


def _identifier(patient: PatientInfo) -> dict[str, Any]:
    system = issuer_system(patient)
    kind = plain(patient.qualifiers.get("id_type", "MR"))
    identifier: dict[str, Any] = {"type": {"coding": [{"system": _V2_0203, "code": kind}]}}
    if system:
        identifier["system"] = system
    identifier["value"] = patient.id
    if patient.issuer:
        identifier["assigner"] = {"display": patient.issuer}
    return identifier


def _name(name: Any) -> dict[str, Any]:
    given = [plain(part) for part in (name.given, name.middle) if plain(part)]
    parts = {"family": plain(name.family), "prefix": [plain(name.prefix)], "suffix": [plain(name.suffix)]}
    resource: dict[str, Any] = {
        "extension": [{"url": _REPRESENTATION_URL, "valueCode": _REPRESENTATIONS[name.representation]}],
        "use": "official",
        "text": plain(" ".join(part for part in name[1:] if part)),
        **{key: value for key, value in parts.items() if value not in ("", [""])},
    }
    return {**resource, "given": given} if given else resource


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
