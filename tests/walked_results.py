"""What every output, the table, the trend and the queue say of one image, read back from a watcher's folder."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
from measured import MEASURED
from pydicom.dataset import Dataset
from scored_images import Case, score_truly
from typer.testing import CliRunner

from lungsev.inference.status import BackendStatus
from lungsev.model import ImageSource, Model
from lungsev.phantom import make_phantom
from lungsev.phantom.radiograph import PhantomRadiograph
from lungsev.pipeline import ScoredRadiograph, StageClock
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.report import ModelInfo, SeverityReport
from lungsev.runtime.cli import app
from lungsev.runtime.outputs import codes
from lungsev.statements import signer

OUTPUTS = ("json", "csv", "hl7", "fhir", "dicom_sr")
SENT = ("json", "hl7", "fhir", "dicom_sr")
REJECTION = ".ko.dcm"  # hides a superseded result's DICOM objects
SUFFIXES = (".json", ".hl7", ".fhir.json", ".sr.dcm")


@cache
def phantom() -> PhantomRadiograph:
    """The patient of the walk."""
    return make_phantom(7, size_px=320)


class PhantomModel(Model):
    """Reads real DICOM files and gives the grades that the test names, by SOP Instance UID."""

    info = ModelInfo("", "", "", "onnxruntime", "cpu", "fp32")  # each test gives its own
    status = BackendStatus("onnxruntime", "cpu", "fp32")

    def __init__(self, info: ModelInfo, grades: dict[str, str]) -> None:
        self.info = info
        self._grades = grades

    def read(self, image: ImageSource) -> Radiograph:
        assert isinstance(image, Path)
        return read_radiograph(image)

    def score_radiograph(self, radiograph: Radiograph, clock: StageClock | None = None) -> ScoredRadiograph:
        grades = tuple(int(digit) for digit in self._grades[radiograph.image.sop_instance_uid or ""])
        scored = score_truly(Case(radiograph, phantom().lung_mask, grades), grades, (), "brixia")
        score = replace(scored.report.scores["brixia"], repeatability=MEASURED)
        return replace(scored, report=replace(scored.report, model=self.info, scores={"brixia": score}))

    def probe(self) -> None:
        """Always works."""

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Said:
    """What one source says of an image.

    Attributes:
        total: That stands.
        by: Who signed it.
        change: In words.
        warning: `stop`, `superseded` or nothing.
    """

    total: int
    by: str | None = None
    change: str | None = None
    warning: str = ""


def read_everywhere(out: Path, image: str) -> dict[str, Said]:
    """Return what each output says of an image."""
    report = SeverityReport.from_json((out / "reports" / f"{image}.json").read_text())
    return {
        "json": _json(report),
        "csv": _csv(out / "tables" / "scores.csv", image),
        "hl7": _hl7((out / "hl7" / f"{image}.hl7").read_bytes().decode()),
        "fhir": _fhir(json.loads((out / "fhir" / f"{image}.fhir.json").read_text())),
        "dicom_sr": _sr(pydicom.dcmread(out / "dicom" / f"{image}.sr.dcm")),
    }


def read_trend(out: Path, patient: str, *options: str) -> dict[str, Said]:
    """Return what the trend says of every image of a course that has a place in it."""
    result = CliRunner().invoke(app, ["trend", patient, "--out", str(out), "--json", *options])
    if result.exception is not None:
        raise result.exception
    points: list[dict[str, Any]] = json.loads(result.stdout)["points"]
    return {
        point["id"]: Said(point["total"], None, point["change"]["words"] if point["change"] else None)
        for point in points
    }


def revisions_queued(out: Path, image: str) -> dict[str, list[int]]:
    """Return the revisions of an image that were queued, by the file's ending, in their order."""
    with closing(sqlite3.connect(out / "outbox" / "outbox.sqlite")) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM deliveries WHERE image = ? ORDER BY seq", (image,))
        ]
    found: dict[str, list[int]] = {suffix: [] for suffix in (*SUFFIXES, REJECTION)}
    for name in names:
        rest = name.removeprefix(image)
        number = 1
        if rest.startswith(".r"):
            number, rest = int(rest[2:].partition(".")[0]), "." + rest[2:].partition(".")[2]
        found[rest].append(number)
    return found


def _json(report: SeverityReport) -> Said:
    change = report.change.words if report.change else None
    superseded = "superseded" if report.standing.state == "superseded" else ""
    return Said(report.standing_score("brixia").total, signer(report), change, "stop" if report.stop else superseded)


def _csv(table: Path, image: str) -> Said:
    with table.open(newline="") as stream:
        (row,) = [row for row in csv.DictReader(stream) if row["image"] == image]
    superseded = "superseded" if row["standing"] == "superseded" else ""
    warning = "stop" if row["stop"] else superseded
    return Said(int(row["total"]), row["signed_by"] or None, row["change"] or None, warning)


def _hl7(message: str) -> Said:
    segments = [line.split("|") for line in message.split("\r") if line]
    observed: dict[str, list[list[str]]] = {}
    for fields in segments:
        if fields[0] == "OBX":
            observed.setdefault(fields[3].partition("^")[0], []).append(fields)
    (total,) = observed[codes.total_code("brixia").value]
    change = observed.get(codes.CHANGE.value)
    by = total[16].removeprefix("^") if len(total) > 16 else None
    return Said(int(total[5]), by or None, change[0][5] if change else None, _warning(message))


def _fhir(bundle: dict[str, Any]) -> Said:
    resources = [entry["resource"] for entry in bundle["entry"]]
    (score,) = [item for item in resources if item["resourceType"] == "Observation"]
    (report,) = [item for item in resources if item["resourceType"] == "DiagnosticReport"]
    by = [item["display"] for item in score.get("performer", []) if "display" in item]
    changes = [
        part["valueCodeableConcept"]["text"]
        for part in score["component"]
        if part["code"]["coding"][0]["code"] == codes.CHANGE.value and "valueCodeableConcept" in part
    ]
    value = int(score["valueQuantity"]["value"])
    return Said(value, by[0] if by else None, changes[0] if changes else None, _warning(report["conclusion"]))


def _sr(document: Dataset) -> Said:
    values: dict[str, str] = {}
    texts: list[str] = []
    waiting = [document]
    while waiting:
        item = waiting.pop()
        waiting += item.get("ContentSequence", [])
        name = item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else ""
        if item.get("ValueType") == "NUM":
            values[name] = str(item.MeasuredValueSequence[0].NumericValue)
        elif item.get("ValueType") == "TEXT":
            values[name] = str(item.TextValue)
            texts.append(str(item.TextValue))
    observers = document.get("VerifyingObserverSequence", [])
    assert document.VerificationFlag == ("VERIFIED" if observers else "UNVERIFIED")
    by = str(observers[0].VerifyingObserverName) if observers else None
    total = round(float(values[codes.total_code("brixia").value]))
    return Said(total, by, values.get(codes.CHANGE.value), _warning(" ".join(texts)))


def _warning(text: str) -> str:
    return "stop" if "STOP: " in text else "superseded" if "Superseded: " in text else ""
