"""An image with a zone that is not assessable, and with several schemes: no format turns a sum of five into a total."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pydicom
import pytest
from partial_scores import with_lungs, without_zones
from pydicom.dataset import Dataset
from standing_reports import CORRECTED, SIGNER, STATES, in_state

from lungsev.report import SeverityReport
from lungsev.runtime.outputs.catalog import open_outputs

pytest.importorskip("highdicom")
NAMES = ("json", "csv", "hl7", "fhir", "dicom_sr", "dicom_pr", "dicom_sc")
SCHEMA = json.loads((resources.files("lungsev") / "report_schema_v2.json").read_text(encoding="utf-8"))
LEFT = {code: grade for code, grade in CORRECTED.items() if code != "C"}  # a reader's grades, C left out
SAID = "7 of 15 (5 of 6 zones)"


@pytest.fixture(scope="module")
def written(make_scored_dicom, tmp_path_factory) -> dict[str, Any]:
    """The parsed files of an image whose zone C has no grade, with extent and opacity of each lung."""
    scored = in_state(make_scored_dicom())
    model = {region.code: region.grade for region in scored.report.scores["brixia"].regions}
    assert sum(model.values()) - model["C"] == 7, "of the phantom"
    report = without_zones(with_lungs(scored.report), "C")
    return parsed(replace(scored, report=report), tmp_path_factory.mktemp("partial"))


@pytest.fixture(scope="module")
def signed(make_scored_dicom, tmp_path_factory) -> dict[str, Any]:
    """The same, with the grades of five zones that a reader signed."""
    scored = in_state(make_scored_dicom())
    standing = replace(STATES["corrected"], grades={"brixia": LEFT})
    report = replace(without_zones(with_lungs(scored.report), "C"), standing=standing)
    return parsed(replace(scored, report=report), tmp_path_factory.mktemp("signed"))


def test_the_table_leaves_the_total_empty_and_has_the_sum_in_columns_of_its_own(written) -> None:
    rows = {row["scheme"]: row for row in written["csv"]}
    brixia = rows["brixia"]
    assert [brixia[name] for name in ("total", "total_low", "total_high", "expected", "model_total")] == [""] * 5
    assert (brixia["total_max"], brixia["not_assessable"]) == ("18", "C")
    assert (brixia["partial_total"], brixia["partial_max"]) == ("7", "15")
    assert "C:-" in brixia["grades"].split()
    assert [rows[name]["total"] for name in ("ralo", "ralo_opacity")] == ["3", "3"]
    assert [rows[name]["change"] != "" for name in ("brixia", "ralo", "ralo_opacity")] == [True, False, False]


def test_messages_have_no_value_for_zone_and_total_and_say_why(written) -> None:
    segments = written["hl7"]
    total, zone = observation(segments, "BRIXIA-TOTAL"), observation(segments, "BRIXIA-C")
    for found in (total, zone):
        assert (found[0][5], found[0][11]) == ("", "X")
    assert total[1][3] == "No total: not every region can be assessed"
    assert "Not assessable: hardly any lung is seen here" in zone[1][3]
    partial = observation(segments, "BRIXIA-PARTIAL")
    assert (partial[0][5], partial[0][11], partial[1][3]) == ("7", "P", f"{SAID}; not comparable with totals")
    assert observation(segments, "RALO-TOTAL")[0][5] == "3"


def test_fhir_says_that_the_value_is_absent(written) -> None:
    found = {each["code"]["coding"][0]["code"]: each for each in written["fhir"]}
    brixia = found["BRIXIA-TOTAL"]
    parts = {part["code"]["coding"][0]["code"]: part for part in brixia["component"]}
    for part in (brixia, parts["BRIXIA-C"]):
        assert "valueQuantity" not in part
        assert part["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert parts["BRIXIA-C"]["dataAbsentReason"]["text"].startswith("Not assessable: hardly any lung is seen here")
    assert [parts[code]["valueQuantity"]["value"] for code in ("BRIXIA-PARTIAL", "BRIXIA-OUTOF")] == [7, 15]
    assert not {"BRIXIA-LOW", "BRIXIA-HIGH", "BRIXIA-MODEL"} & parts.keys()
    assert found["RALO-TOTAL"]["valueQuantity"]["value"] == 3
    assert "CHANGE" not in {part["code"]["coding"][0]["code"] for part in found["RALO-TOTAL"]["component"]}
    assert f"brixia {SAID} (likely 5-9)" in written["conclusion"]


def test_fhir_resources_are_valid(written) -> None:
    bundles = pytest.importorskip("fhir.resources.R4B.bundle")
    bundles.Bundle.model_validate(written["bundle"])


def test_the_structured_report_has_no_number_for_zone_and_total(written) -> None:
    items = written["dicom_sr"]
    numbers = {code_of(item): item for item in items if item.ValueType == "NUM"}
    assert not {"BRIXIA-TOTAL", "BRIXIA-C", "BRIXIA-LOW"} & numbers.keys()
    assert {"BRIXIA-A", "BRIXIA-PARTIAL", "BRIXIA-OUTOF", "RALO-TOTAL", "RALO_OPACITY-R"} <= numbers.keys()
    assert int(numbers["BRIXIA-PARTIAL"].MeasuredValueSequence[0].NumericValue) == 7
    coded = {
        (code_of(item), item.ConceptCodeSequence[0].get("CodeValue")) for item in items if item.ValueType == "CODE"
    }
    assert {("ASSESSMENT", "NOT-ASSESSABLE"), ("BRIXIA-TOTAL", "NO-TOTAL")} <= coded
    outlines = [item for item in items if item.ValueType == "SCOORD"]
    assert len(outlines) == 10, "also of the zone without a grade"


def test_the_presentation_state_says_which_zone_and_out_of_what(written) -> None:
    assert "C: not assessable" in written["dicom_pr"]
    assert any(text.startswith(f"brixia {SAID} (5-9).") for text in written["dicom_pr"])


def test_the_json_meets_its_schema_and_has_no_total(written) -> None:
    jsonschema.validate(written["json"], SCHEMA)
    score = written["json"]["scores"]["brixia"]
    assert (score["total"], score["partial"]["points"]) == (None, 7)
    assert SeverityReport.from_dict(written["json"]).main_scheme == "brixia"


def test_a_reader_who_signs_five_zones_signs_no_total_and_no_other_scheme(signed) -> None:
    rows = {row["scheme"]: row for row in signed["csv"]}
    assert (rows["brixia"]["total"], rows["brixia"]["partial_total"], rows["brixia"]["standing"]) == (
        "",
        "9",
        "corrected",
    )
    assert (rows["ralo"]["standing"], rows["ralo"]["signed_by"]) == ("model", "")
    assert observation(signed["hl7"], "BRIXIA-PARTIAL")[0][11] == "C"
    assert observation(signed["hl7"], "RALO-TOTAL")[0][11] == "P"
    found = {each["code"]["coding"][0]["code"]: each for each in signed["fhir"]}
    assert (found["BRIXIA-TOTAL"]["status"], found["BRIXIA-TOTAL"]["performer"]) == ("amended", [{"display": SIGNER}])
    assert found["RALO-TOTAL"]["status"] == "preliminary"
    assert "performer" not in found["RALO-TOTAL"]
    assert found["RALO-TOTAL"]["meta"]["security"][0]["code"] == "AIAST"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: make validate-dicom")
@pytest.mark.parametrize("case", ["written", "signed"])
def test_the_fields_own_validator_finds_no_error(case: str, request) -> None:
    for path in request.getfixturevalue(case)["dicom"]:
        result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60)
        found = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")]
        assert found == [], path.name


def parsed(scored: Any, folder: Path) -> dict[str, Any]:
    """Write every format and read it back."""
    files = {
        output.name: output.write(scored, folder / f"image{output.suffix}") for output in open_outputs(NAMES, None)
    }
    with files["csv"].open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    bundle = json.loads(files["fhir"].read_text(encoding="utf-8"))
    resource_list = [entry["resource"] for entry in bundle["entry"]]
    texts = pydicom.dcmread(files["dicom_pr"]).GraphicAnnotationSequence[0].TextObjectSequence
    return {
        "csv": rows,
        "json": json.loads(files["json"].read_text(encoding="utf-8")),
        "hl7": [line.split("|") for line in files["hl7"].read_bytes().decode("utf-8").split("\r")],
        "bundle": bundle,
        "fhir": [found for found in resource_list if found["resourceType"] == "Observation"],
        "conclusion": resource_list[-1]["conclusion"],
        "dicom_sr": list(walk(pydicom.dcmread(files["dicom_sr"]))),
        "dicom_pr": [str(item.UnformattedTextValue) for item in texts],
        "dicom": [path for path in files.values() if path.suffix == ".dcm"],
    }


def observation(segments: list[list[str]], code: str) -> list[list[str]]:
    """The OBX of a code and the segment behind it."""
    at = next(i for i, found in enumerate(segments) if found[0] == "OBX" and found[3].split("^")[0] == code)
    padded = [*segments[at], *[""] * (18 - len(segments[at]))]
    return [padded, segments[at + 1]]


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def code_of(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""
