"""Hostile images through the whole chain: the real decoders, network and watcher."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from bad_dicom import write_corpus
from bedside_images import Bedside, drop
from dicom_mutations import HOSTILE_TEXTS, SPELLED_OUT, mutant

from lungsev.bundle.archive import Bundle
from lungsev.phantom import make_phantom, write_phantom_dicom

CANARY = "ZQXCANARY"


def watch_once(side: Bedside, bundle: Bundle | None, *options: str) -> subprocess.CompletedProcess[str]:
    """`bundle`: None for the packaged one."""
    command = [sys.executable, "-m", "lungsev.runtime.cli", "watch", str(side.incoming), "--out", str(side.layout.root)]
    command += ["--once", "--backend", "onnxruntime", "--threads", "1", *options]
    command += [] if bundle is None else ["--bundle", str(bundle.path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=550)


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


def test_no_patient_data_in_logs_names_output_or_metrics(side: Bedside, tiny_bundle: Bundle, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_phantom_dicom(make_phantom(8, size_px=128), tmp_path / "image.dcm"))
    dataset.PatientName = dataset.PatientID = dataset.AccessionNumber = CANARY
    dataset.OtherPatientNames = dataset.PatientComments = dataset.ReferringPhysicianName = f"{CANARY}^\x1b[31m=cmd|"
    dataset.StudyDescription = f"<script>{CANARY}</script>"
    for number, change in enumerate(("whole", "cut", "modality", "unknown")):
        if change == "modality":
            dataset.Modality = CANARY[:16]
        path = tmp_path / "changed.dcm"
        dataset.save_as(path)
        data = path.read_bytes()
        if change == "cut":
            data = data[:-500]
        if change == "unknown":
            data = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0", 1)
        drop(side.incoming, f"{CANARY}/{CANARY}-{number}.dcm", data)
    result = watch_once(side, tiny_bundle)
    assert result.returncode == 0, result.stderr
    assert len(side.reports()) + len(side.reasons()) == 4
    assert CANARY not in result.stdout + result.stderr
    for path in side.layout.root.rglob("*"):
        assert CANARY not in str(path.relative_to(side.layout.root))
        if path.suffix == ".jsonl" or (path.parent == side.layout.quarantine and path.suffix == ".json"):
            assert CANARY not in path.read_text()
    whole = [report for report in side.reports().values() if report.image.patient_id == CANARY]
    assert whole, "the report itself names the patient: that is what it is for"


@pytest.mark.faults
def test_every_file_of_the_corpus_ends_with_a_reason_and_the_watcher_stays_small(
    side: Bedside, tiny_bundle: Bundle
) -> None:
    count = len(write_corpus(side.incoming / "corpus"))
    os.mkfifo(side.incoming / "fifo.dcm")
    result = watch_once(side, tiny_bundle, "--json")
    assert result.returncode == 0, result.stderr
    ended = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(ended) == count
    assert len({line["id"] for line in ended}) == count
    reports, reasons = side.reports(), side.reasons()
    assert len(reports) + len(reasons) == count
    assert not set(reports) & set(reasons)
    for report in reports.values():
        assert report.status == "scored" or report.reason
    assert side.leftovers() == []
    assert max(line["seconds"] for line in ended) < 60


NO_IMAGES = (
    "nested-500",
    "rgb",
    "palette",
    "float",
    "no-pixels",
    "empty-pixels",
    "too-many-pixels",
    "multi-frame",
    "rows-zero",
    "rows-huge",
    "bits-1",
    "constant",
    "noise",
    "fragments-without-end",
)
FILE_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}(\.reason)?\.[a-z]{3,5}")


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore")
def test_with_the_packaged_model_what_is_no_image_has_no_score_and_tags_reach_no_name_and_no_log(side: Bedside) -> None:
    names: dict[str, str] = {}
    for number in range(len(SPELLED_OUT)):
        name, data = mutant(number)
        names[hashlib.sha256(data).hexdigest()] = name
        drop(side.incoming, f"{name}.dcm", data)
    result = watch_once(side, None)
    assert result.returncode == 0, result.stderr
    reports = {names[report.image.sha256 or ""]: report for report in side.reports().values()}
    reasons = [json.loads(path.read_text()) for path in side.layout.quarantine.glob("*.reason.json")]
    assert {*reports, *(names[reason["sha256"]] for reason in reasons)} == set(names.values())
    assert len(reports) + len(reasons) == len(names)
    assert [name for name in NO_IMAGES if name in reports and reports[name].status == "scored"] == []
    log = (side.layout.log / "watch.jsonl").read_text() + result.stdout + result.stderr
    assert [text for text in HOSTILE_TEXTS if text[:30] in log] == []
    folders = (side.layout.reports, side.layout.quarantine, side.layout.archive, side.layout.root / "overlays")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if not FILE_NAME.fullmatch(path.name)] == []
