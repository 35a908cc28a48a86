"""One result through every format, parsed back: total, grades, patient, time, change and status are the same in all."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pydicom
import pytest
from pydicom.dataset import Dataset
from standing_reports import CORRECTED, MOMENTS, PATIENT, SIGNER, STATES, STOP, WORSE, in_state, name_patient

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.catalog import open_outputs

pytest.importorskip("highdicom")
NAMES = ("json", "csv", "hl7", "fhir", "dicom_sr", "dicom_pr", "dicom_sc", "dicom_ko")
ROME = ZoneInfo("Europe/Rome")
SCHEMA = json.loads((resources.files("lungsev") / "report_schema_v2.json").read_text(encoding="utf-8"))
STATUS = {  # JSON and CSV: HL7, FHIR, verification of the SR, label of the presentation state
    "model": ("P", "preliminary", "UNVERIFIED", "LUNGSEV"),
    "agreed": ("C", "amended", "VERIFIED", "AGREED"),
    "corrected": ("C", "amended", "VERIFIED", "CORRECTED"),
    "superseded": ("W", "entered-in-error", "UNVERIFIED", "SUPERSEDED"),
}
CASES = [
    *((state, "second", None) for state in STATES),
    ("model", "second", STOP),
    ("corrected", "date alone", STOP),
    ("agreed", "doubled hour", None),
    ("superseded", "none", None),
]


@pytest.fixture(scope="module")
def scored(make_scored_dicom) -> ScoredRadiograph:
    found = make_scored_dicom(edit=name_patient)
    assert found.report.patient == PATIENT
    return found


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}, {case[1]}{', stop' if case[2] else ''}")
def written(request, scored: ScoredRadiograph, tmp_path_factory) -> tuple[SeverityReport, dict[str, Path]]:
    """The report and its file in every format."""
    state, when, stop = request.param
    case = in_state(scored, state, when, stop=stop)
    files, folder = {}, tmp_path_factory.mktemp("case")
    for output in open_outputs(NAMES, ROME):
        path = output.write(case, folder / f"image{output.suffix}")
        if path is not None:
            files[output.name] = path
    return case.report, files


def test_every_format_shows_the_same_total_and_grades(written) -> None:
    report, files = written
    corrected = bool(report.standing.grades)
    grades = CORRECTED if corrected else grades_of_model(report)
    assert total(files) == {name: sum(grades.values()) for name in ("csv", "hl7", "fhir", "dicom_sr", "dicom_pr")}
    assert {tuple(found.items()) for found in all_grades(files)} == {tuple(grades.items())}
    stored = SeverityReport.from_json(files["json"].read_text(encoding="utf-8"))
    assert stored.standing_score("brixia").grades == grades
    assert [region.grade for region in stored.scores["brixia"].regions] == list(grades_of_model(report).values())


def test_every_format_says_what_state_the_result_is_in(written) -> None:
    report, files = written
    state = report.standing.state
    hl7, fhir, verification, label = STATUS[state]
    assert row(files)["standing"] == state
    assert {segment[11] for segment in segments(files, "OBX")} == {hl7}
    assert segments(files, "OBR")[0][25] == ("C" if state == "superseded" else hl7)
    assert {entry["resource"]["status"] for entry in results(files)} == {fhir}
    document = pydicom.dcmread(files["dicom_sr"])
    assert (document.VerificationFlag, pydicom.dcmread(files["dicom_pr"]).ContentLabel) == (verification, label)
    assert document.PreliminaryFlag == ("FINAL" if verification == "VERIFIED" else "PRELIMINARY")
    assert ("dicom_ko" in files) == (state == "superseded")
    if state == "superseded":
        assert "Superseded" in pydicom.dcmread(files["dicom_sc"]).DerivationDescription


def test_every_format_names_who_signed_and_none_calls_it_the_models_then(written) -> None:
    report, files = written
    signed = report.standing.state != "model" and (bool(report.standing.grades) or report.standing.state == "agreed")
    name = SIGNER if signed else ""
    assert row(files)["signed_by"] == name
    assert {field(segment, 16).lstrip("^") for segment in segments(files, "OBX")} == {name}
    assert {"AIAST" in field(segment, 17) for segment in segments(files, "OBX")} == {not signed}
    for entry in results(files):
        resource = entry["resource"]
        found = resource.get("resultsInterpreter", resource.get("performer", [{"display": ""}]))
        assert found == [{"display": name}]
        assert ("meta" not in resource) == signed
    observers = [str(item.PersonName) for item in walk(pydicom.dcmread(files["dicom_sr"])) if item.ValueType == "PNAME"]
    assert observers == ([name] if signed else [])
    assert str(pydicom.dcmread(files["dicom_pr"]).ContentCreatorName or "") == name


def test_every_format_says_the_change_in_the_same_words(written) -> None:
    _, files = written
    assert (row(files)["change"], row(files)["change_percent"]) == (WORSE.words, "92")
    assert {segment[5] for segment in observations(files, "CHANGE")} == {WORSE.words}
    assert {segment[5] for segment in observations(files, "CHANGE-PROB")} == {"92"}
    components = {part["code"]["coding"][0]["code"]: part for part in results(files)[0]["resource"]["component"]}
    assert components["CHANGE"]["valueCodeableConcept"]["text"] == WORSE.words
    assert components["CHANGE-PROB"]["valueQuantity"]["value"] == 92
    assert WORSE.words in results(files)[-1]["resource"]["conclusion"]
    items = list(walk(pydicom.dcmread(files["dicom_sr"])))
    assert [item.TextValue for item in items if code_of(item) == "CHANGE" and item.ValueType == "TEXT"] == [WORSE.words]
    assert [number_of(item) for item in items if code_of(item) == "CHANGE-PROB"] == [92]
    assert any(WORSE.words in text for text in annotations(files))


def test_every_format_has_the_patient_and_the_moment(written) -> None:
    report, files = written
    assert (row(files)["patient_id"], row(files)["issuer"]) == ("4711", "HOSP-A")
    assert row(files)["acquired_at"] == (report.acquired.at if report.acquired else "")
    pid = segments(files, "PID")[0]
    assert pid[3] == "4711^^^HOSP-A&1.2.276.0.76.3&ISO^PI^Ward 7"
    assert pid[5] == "Yamada^Tarou^^Jr.^Dr.^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"
    assert pid[7:9] == ["19500201", "M"]
    patient = bundle(files)["entry"][0]["resource"]
    identifier = patient["identifier"][0]
    assert (identifier["value"], identifier["system"]) == ("4711", "urn:oid:1.2.276.0.76.3")
    assert (patient["birthDate"], patient["gender"]) == ("1950-02-01", "male")
    for name in ("dicom_sr", "dicom_pr", "dicom_sc", *(["dicom_ko"] if "dicom_ko" in files else [])):
        result = pydicom.dcmread(files[name])
        assert (result.PatientID, result.IssuerOfPatientID, str(result.PatientName)) == ("4711", "HOSP-A", PATIENT.name)
        assert result.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "1.2.276.0.76.3"
    moment = report.acquired.hl7() if report.acquired else ""
    assert (
        {field(segment, 14) for segment in segments(files, "OBX")} == {field(segments(files, "OBR")[0], 7)} == {moment}
    )
    when = {
        None: {},
        MOMENTS["second"]: {"effectiveDateTime": "2026-11-22T08:15:30+01:00"},
        MOMENTS["date alone"]: {"effectiveDateTime": "2026-11-22"},
        MOMENTS["doubled hour"]: {
            "effectivePeriod": {"start": "2026-10-25T02:30:00+02:00", "end": "2026-10-25T02:30:00+01:00"}
        },
    }[report.acquired]
    for entry in results(files):
        assert {key: value for key, value in entry["resource"].items() if key.startswith("effective")} == when
    times = [item.DateTime for item in walk(pydicom.dcmread(files["dicom_sr"])) if code_of(item) == "ACQUIRED"]
    assert [str(time) for time in times] == ([moment] if moment else [])


def test_the_red_stop_comes_first_in_every_format(written) -> None:
    report, files = written
    if report.stop is None:
        return
    assert row(files)["stop"] == STOP
    assert segments(files, "OBX")[0][5] == f"STOP: {STOP}"
    for entry in results(files):
        resource = entry["resource"]
        assert (resource["conclusion"] if "conclusion" in resource else resource["note"][0]["text"]).startswith("STOP:")
    first = next(item for item in walk(pydicom.dcmread(files["dicom_sr"])) if item.RelationshipType == "CONTAINS")
    assert first.TextValue == f"STOP: {STOP}"
    assert f"STOP: {STOP}" in annotations(files)
    assert pydicom.dcmread(files["dicom_sc"]).DerivationDescription.startswith("STOP:")


def test_the_json_is_as_its_published_schema_says(written) -> None:
    jsonschema.validate(json.loads(written[1]["json"].read_text(encoding="utf-8")), SCHEMA)


def test_the_clock_and_the_offset_of_a_dicom_result_agree(written) -> None:
    from datetime import datetime, timedelta, timezone

    report, files = written
    stated = (report.acquired.offset if report.acquired else None) or datetime.now(ROME).isoformat()[-6:]
    for name in set(files) & {"dicom_sr", "dicom_pr", "dicom_sc", "dicom_ko"}:
        result = pydicom.dcmread(files[name])
        assert result.TimezoneOffsetFromUTC == stated.replace(":", "")
        day, time = (
            (result.ContentDate, result.ContentTime)
            if "ContentDate" in result
            else (result.PresentationCreationDate, result.PresentationCreationTime)
        )
        moment = datetime.strptime(f"{day}{time}{result.TimezoneOffsetFromUTC}", "%Y%m%d%H%M%S%z")
        assert abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=10)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: make validate-dicom")
def test_the_fields_own_validator_finds_no_error_in_any_state(written) -> None:
    for path in written[1].values():
        if path.suffix == ".dcm":
            result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60)
            found = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")]
            assert found == [], path.name


def grades_of_model(report: SeverityReport) -> dict[str, int]:
    return {region.code: region.grade for region in report.scores["brixia"].regions}


def total(files: dict[str, Path]) -> dict[str, int]:
    observation = results(files)[0]["resource"]
    items = walk(pydicom.dcmread(files["dicom_sr"]))
    return {
        "csv": int(row(files)["total"]),
        "hl7": int(observations(files, "BRIXIA-TOTAL")[0][5]),
        "fhir": observation["valueQuantity"]["value"],
        "dicom_sr": next(number_of(item) for item in items if code_of(item) == "BRIXIA-TOTAL"),
        "dicom_pr": int(next(text for text in annotations(files) if text.startswith("brixia ")).split()[1]),
    }


def all_grades(files: dict[str, Path]) -> Iterator[dict[str, int]]:
    yield {cell[0]: int(cell[2]) for cell in row(files)["grades"].split()}
    yield {code: int(observations(files, f"BRIXIA-{code}")[0][5]) for code in "ABCDEF"}
    parts = {part["code"]["coding"][0]["code"]: part for part in results(files)[0]["resource"]["component"]}
    yield {code: parts[f"BRIXIA-{code}"]["valueQuantity"]["value"] for code in "ABCDEF"}
    numbers = {code_of(item): item for item in walk(pydicom.dcmread(files["dicom_sr"])) if item.ValueType == "NUM"}
    yield {code: number_of(numbers[f"BRIXIA-{code}"]) for code in "ABCDEF"}
    yield {text[0]: int(text[3:]) for text in annotations(files) if text[1:2] == ":"}


def row(files: dict[str, Path]) -> dict[str, str]:
    with files["csv"].open(encoding="utf-8", newline="") as stream:
        (found,) = csv.DictReader(stream)
    return found


def segments(files: dict[str, Path], name: str) -> list[list[str]]:
    lines = files["hl7"].read_bytes().decode("utf-8").split("\r")
    return [line.split("|") for line in lines if line.startswith(name)]


def field(segment: list[str], number: int) -> str:
    return segment[number] if number < len(segment) else ""


def observations(files: dict[str, Path], code: str) -> list[list[str]]:
    return [segment for segment in segments(files, "OBX") if segment[3].split("^")[0] == code]


def bundle(files: dict[str, Path]) -> dict[str, Any]:
    return json.loads(files["fhir"].read_text(encoding="utf-8"))


def results(files: dict[str, Path]) -> list[dict[str, Any]]:
    return [entry for entry in bundle(files)["entry"] if "status" in entry["resource"]]


def annotations(files: dict[str, Path]) -> list[str]:
    texts = pydicom.dcmread(files["dicom_pr"]).GraphicAnnotationSequence[0].TextObjectSequence
    return [str(item.UnformattedTextValue) for item in texts]


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def code_of(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""


def number_of(item: Dataset) -> int:
    return int(item.MeasuredValueSequence[0].NumericValue)
