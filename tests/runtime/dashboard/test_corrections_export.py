"""Export of corrections as a training set."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.errors import LungsevError
from lungsev.runtime.dashboard.corrections_export import export_corrections
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import History


@pytest.fixture
def corrected(out: Path) -> Path:
    store = Decisions(out)
    exams = History(out).refresh()
    store.correct("a1", exams["a1"].report, "brixia", {"A": 3}, "effusion", "AB")
    store.correct("a2", exams["a2"].report, "brixia", {"F": 3}, "effusion", "AB")
    store.close()
    return out


def test_the_export_holds_grades_and_images_and_nobodys_name(corrected: Path, tmp_path: Path) -> None:
    summary = export_corrections(corrected, tmp_path / "set")
    assert (summary.written, summary.without_image) == (2, 0)
    with (tmp_path / "set" / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted("".join(row[code] for code in "ABCDEF") for row in rows) == ["012323", "300111"]
    assert len({row["patient"] for row in rows}) == 1, "the same patient has the same pseudonym"
    for row in rows:
        assert cv2.imread(str(tmp_path / "set" / "images" / row["filename"]), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    everything = b"".join(path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file())
    names = " ".join(path.name for path in (tmp_path / "set").rglob("*"))
    for secret in ("WARD", "2026-11", "effusion"):
        assert secret not in names
        assert secret.encode() not in everything
    # No room for a study's own name, which is as short as a piece of a pseudonym.
    assert all(re.fullmatch(r"i[0-9a-f]{16}\.png", path.name) for path in (tmp_path / "set" / "images").iterdir())
    assert not {"a1", "a2"} & {path.stem for path in (tmp_path / "set").rglob("*")}


def test_training_reads_the_export(corrected: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("lungsev.train.data.datasets.custom")
    export_corrections(corrected, tmp_path / "set")
    dataset = datasets.load(tmp_path / "set")
    assert len(dataset.images) == 2
    assert dataset.scheme.name == "brixia"


def test_pseudonyms_stay_the_same_and_need_the_folders_secret(corrected: Path, tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        export_corrections(corrected, tmp_path / name)
        tables.append((tmp_path / name / "scores.csv").read_bytes())
    assert tables[0] == tables[1]
    assert os.stat(corrected / "pseudonym.key").st_mode & 0o077 == 0
    (corrected / "pseudonym.key").unlink()
    export_corrections(corrected, tmp_path / "three")
    assert (tmp_path / "three" / "scores.csv").read_bytes() != tables[0]


def test_images_that_are_gone_are_counted(corrected: Path, tmp_path: Path) -> None:
    (corrected / "images" / "a1.png").unlink()
    summary = export_corrections(corrected, tmp_path / "set")
    assert (summary.written, summary.without_image) == (1, 1)


def test_nothing_to_export_and_a_used_folder_are_one_line(out: Path, corrected: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="no grade has been corrected"):
        export_corrections(tmp_path / "none", tmp_path / "set")
    with pytest.raises(LungsevError, match="no corrections of scheme inha"):
        export_corrections(corrected, tmp_path / "set", "inha")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").write_text("x", encoding="utf-8")
    with pytest.raises(LungsevError, match="not empty"):
        export_corrections(corrected, tmp_path / "used")
