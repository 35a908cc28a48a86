"""Patient and study of a FHIR transaction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from standing_reports import PATIENT

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.outputs.fhir_subject import issuer_system, patient_resource, plain, reference_study


@pytest.mark.parametrize(
    ("issuer", "universal", "kind", "system"),
    [
        (None, None, None, None),
        ("HOSP-A", None, None, "urn:lungsev:issuer:HOSP-A"),
        ("St. Mary/2", None, None, "urn:lungsev:issuer:St.%20Mary%2F2"),
        ("HOSP-A", "1.2.276.0.76.3", "ISO", "urn:oid:1.2.276.0.76.3"),
        ("HOSP-A", "not an oid", "ISO", "urn:lungsev:issuer:HOSP-A:not%20an%20oid:ISO"),
        (None, "hospital.example", "DNS", "urn:lungsev:issuer:hospital.example:DNS"),
        (None, "https://hospital.example/ids", "URI", "https://hospital.example/ids"),
        (None, "has space", "URI", "urn:lungsev:issuer:has%20space:URI"),
        (None, "0FA0B0C0-1111-2222-3333-444455556666", "UUID", "urn:uuid:0fa0b0c0-1111-2222-3333-444455556666"),
    ],
)
def test_every_issuer_has_a_uri_of_its_own(issuer, universal, kind, system) -> None:
    qualifiers = {key: value for key, value in (("universal_id", universal), ("universal_id_type", kind)) if value}
    assert issuer_system(PatientInfo(id="1", issuer=issuer, qualifiers=qualifiers)) == system


def test_a_patient_has_every_representation_of_the_name() -> None:
    resource = patient_resource(PATIENT)
    assert resource is not None
    latin, ideographic, phonetic = resource["name"]
    assert (latin["family"], latin["given"], latin["prefix"], latin["suffix"]) == (
        "Yamada",
        ["Tarou"],
        ["Dr."],
        ["Jr."],
    )
    assert [name["extension"][0]["valueCode"] for name in resource["name"]] == ["ABC", "IDE", "SYL"]
    assert (ideographic["text"], phonetic["family"]) == ("山田 太郎", "やまだ")
    assert resource["identifier"][0]["type"]["coding"][0]["code"] == "PI"
    assert resource["identifier"][0]["assigner"] == {"display": "HOSP-A"}


def test_what_is_not_known_of_a_patient_is_left_out() -> None:
    assert patient_resource(PatientInfo(name="DOE^JANE")) is None
    bare = patient_resource(PatientInfo(id="7", birth_date="about 1950", sex="X"))
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    assert bare == {"resourceType": "Patient", "identifier": [{"type": kind, "value": "7"}], "gender": "unknown"}
    assert "birthDate" not in (patient_resource(PatientInfo(id="7", birth_date="2026-02-30")) or {})


def test_an_id_that_fhir_cannot_hold_is_refused_without_naming_it() -> None:
    for patient in (PatientInfo(id="se\x1bcret"), PatientInfo(id="1", issuer="se\x00cret")):
        with pytest.raises(LungsevError, match="control character") as caught:
            patient_resource(patient)
        assert "cret" not in str(caught.value)


def test_a_study_is_referenced_with_series_and_image(make_scored) -> None:
    report = make_scored().report
    report = replace(report, image=replace(report.image, sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1"))
    study, reference = reference_study(report)
    assert study is not None
    assert reference is not None
    assert reference["reference"] == f"#{study['id']}"
    assert reference["identifier"]["value"] == f"urn:oid:{report.image.study_instance_uid}"
    (series,) = study["series"]
    assert (series["uid"], series["modality"]["code"]) == (report.image.series_instance_uid, "DX")
    assert series["instance"][0]["uid"] == report.image.sop_instance_uid


def test_uids_that_are_too_long_for_fhir_are_left_out_and_no_study_is_none(make_scored) -> None:
    report = make_scored().report
    long = replace(report, image=replace(report.image, series_instance_uid="1." * 36 + "1"))
    assert "series" not in (reference_study(long)[0] or {"series": 0})
    assert reference_study(replace(report, image=replace(report.image, study_instance_uid=None))) == (None, None)


def test_texts_have_spaces_for_what_fhir_does_not_allow() -> None:
    assert plain("a\x00b\x1bc\td ") == "a b c d"


def test_after_a_merge_the_identity_that_remains_comes_first() -> None:
    resource = patient_resource(PatientInfo(id="E7"), PatientInfo(id="4711", issuer="HOSP-A")) or {}
    assert [identifier["value"] for identifier in resource["identifier"]] == ["4711", "E7"]
