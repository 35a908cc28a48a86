"""FHIR R4B, checked by the field's own models."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lungsev.runtime.outputs.fhir_json import encode_fhir, fhir_bundle

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
    bare = replace(report, image=replace(report.image, patient_id=None, acquired_at=None, study_instance_uid=None))
    bundles.Bundle.model_validate(json.loads(json.dumps(fhir_bundle(bare))))


def test_images_without_a_score_get_none(skipped, failed) -> None:
    assert [encode_fhir(scored, None) for scored in (skipped, failed)] == [None, None]
