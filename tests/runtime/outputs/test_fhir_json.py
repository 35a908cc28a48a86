"""FHIR R4B, checked by the field's own models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from standing_reports import MOMENTS, STATES, STOP, in_state

from lungsev.patient import PatientInfo
from lungsev.runtime.outputs.fhir_json import encode_fhir, fhir_bundle, result_status

ROME = ZoneInfo("Europe/Rome")
bundles = pytest.importorskip("fhir.resources.R4B.bundle")


def test_the_bundle_is_valid_r4b_and_preliminary(make_scored) -> None:
    data = encode_fhir(make_scored(grades=(0, 1, 2, 3, 2, 1)), None)
    assert data is not None
    bundle = bundles.Bundle.model_validate_json(data)
    patient, device, observation, report = (entry.resource for entry in bundle.entry)
    assert report.status == observation.status == "preliminary"
    assert {report.meta.security[0].code, observation.meta.security[0].code} == {"AIAST"}
    assert float(observation.valueQuantity.value) == 9
    assert [int(part.valueQuantity.value) for part in observation.component[:6]] == [0, 1, 2, 3, 2, 1]
    assert report.subject.reference == bundle.entry[0].fullUrl
    assert patient.identifier[0].value == "PHANTOM-1"
    assert report.result[0].reference == bundle.entry[2].fullUrl
    assert device.version[0].value == "1.2.0"
    assert "Not for clinical use" in report.conclusion


def test_ids_follow_from_the_image_and_the_model(make_scored) -> None:
    first, second = (fhir_bundle(make_scored().report) for _ in range(2))
    assert first["entry"] == second["entry"]


def test_an_image_without_patient_or_date_is_still_valid(make_scored) -> None:
    report = make_scored().report
    image = replace(report.image, acquired_at=None, study_instance_uid=None)
    bare = replace(report, image=image, patient=PatientInfo(), acquired=None)
    bundles.Bundle.model_validate(json.loads(json.dumps(fhir_bundle(bare))))


def test_images_without_a_score_get_none(skipped, failed) -> None:
    assert [encode_fhir(scored, None) for scored in (skipped, failed)] == [None, None]


@pytest.mark.parametrize("state", list(STATES))
@pytest.mark.parametrize("when", list(MOMENTS))
def test_a_server_takes_the_transaction_of_every_state(make_scored, state: str, when: str) -> None:
    data = fhir_bundle(in_state(make_scored(), state, when, stop=STOP).report, ROME)
    bundles.Bundle.model_validate(json.loads(json.dumps(data)))
    check_transaction(data)


def check_transaction(data: dict[str, Any]) -> None:
    """Check what a server does before it stores a transaction (R4B, http.html#transaction)."""
    assert data["type"] == "transaction"
    urls = [entry["fullUrl"] for entry in data["entry"]]
    assert len(set(urls)) == len(urls)
    for entry in data["entry"]:
        resource, request = entry["resource"], entry["request"]
        assert "id" not in resource, "which a server compares with what it finds"
        kind, _, search = request["url"].partition("?")
        assert kind == resource["resourceType"]
        assert (request["method"], bool(search)) in {("POST", False), ("PUT", True)}
        search = request["ifNoneExist"] if request["method"] == "POST" else search
        ((name, value),) = parse_qsl(search, strict_parsing=True)
        system, token = re.split(r"(?<!\\)\|", value)
        wanted = (system, re.sub(r"\\(.)", r"\1", token))
        found = [(item.get("system", ""), item["value"]) for item in resource["identifier"]]
        assert (name, wanted) == ("identifier", found[0]), "else it would be made again each time"
        contained = {f"#{item['id']}" for item in resource.get("contained", ())}
        for reference in references(resource):
            assert reference in urls or reference in contained


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


@pytest.mark.parametrize("number", ["12\\34", "a|b", "a,b$c", "a b&c=d+e", "Ä/ü?#%"])
def test_any_id_is_searched_for_as_it_is(make_scored, number: str) -> None:
    patient = PatientInfo(id=number, issuer="St. Mary|2")
    data = fhir_bundle(replace(make_scored().report, patient=patient))
    check_transaction(data)
    assert data["entry"][0]["resource"]["identifier"][0]["value"] == number


def test_a_revision_replaces_the_result_and_no_patient_or_device_is_made_twice(make_scored) -> None:
    scored = make_scored()
    first, second = (fhir_bundle(in_state(scored, state).report) for state in ("model", "corrected"))
    assert [entry["request"] for entry in first["entry"]] == [entry["request"] for entry in second["entry"]]
    assert [entry["request"]["method"] for entry in first["entry"]] == ["POST", "POST", "PUT", "PUT"]
    assert first["identifier"] != second["identifier"]
    other = replace(scored.report, image=replace(scored.report.image, sop_instance_uid="1.2.3"))
    assert fhir_bundle(other)["entry"][1]["request"] == first["entry"][1]["request"], "one device for all its images"
    assert fhir_bundle(other)["entry"][3]["request"] != first["entry"][3]["request"]


def test_a_first_result_that_a_reader_signed_is_final(make_scored) -> None:
    report = in_state(make_scored(), "agreed").report
    assert result_status(replace(report, standing=replace(report.standing, revision=1))) == "final"
    assert result_status(in_state(make_scored(), stop=STOP).report) == "preliminary"


def test_the_order_is_named_by_its_accession_number(make_scored) -> None:
    for entry in fhir_bundle(in_state(make_scored()).report)["entry"][2:]:
        number = entry["resource"]["basedOn"][0]["identifier"]
        assert (number["value"], number["type"]["coding"][0]["code"]) == ("ACC-1", "ACSN")


def test_the_study_series_and_image_are_named_however_long_their_uids_are(make_scored) -> None:
    report = in_state(make_scored()).report
    long = replace(report, image=replace(report.image, sop_instance_uid="1." * 40 + "1"))
    observation, diagnostic = (entry["resource"] for entry in fhir_bundle(long)["entry"][2:])
    found = [source["identifier"]["value"] for source in observation["derivedFrom"]]
    assert found == [f"urn:oid:{report.image.study_instance_uid}", f"urn:oid:{long.image.sop_instance_uid}"]
    assert diagnostic["contained"][0]["series"][0]["uid"] == report.image.series_instance_uid


def test_a_patient_without_an_id_is_named_but_not_made(make_scored) -> None:
    report = replace(make_scored().report, patient=PatientInfo(name="DOE^JANE"))
    data = fhir_bundle(report)
    check_transaction(data)
    assert {entry["resource"]["resourceType"] for entry in data["entry"]} == {
        "Device", "Observation", "DiagnosticReport",
    }  # fmt: skip
    assert data["entry"][-1]["resource"]["subject"] == {"display": "DOE^JANE"}
    assert fhir_bundle(replace(report, patient=PatientInfo()))["entry"][-1]["resource"]["subject"]["display"]
