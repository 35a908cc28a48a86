from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from exam_makers import put_report, scored_report
from typer.testing import CliRunner

from lungsev.runtime.cli import app
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import History


@pytest.fixture
def out(tmp_path: Path) -> Path:
    root = tmp_path / "out"
    for folder in ("reports", "images", "maps", "overlays"):
        (root / folder).mkdir(parents=True)
    put_report(root, "a1", scored_report("WARD-1", "2026-11-20T08:00:00", "000111"))
    put_report(root, "a2", scored_report("WARD-1", "2026-11-21T08:00:00", "012321"))
    store = Decisions(root)
    exams = History(root).refresh()
    for image in ("a1", "a2"):
        store.correct(image, exams[image].report, "brixia", {"A": 3}, "effusion", "AB")
    store.close()
    return root


def test_the_export_counts_what_is_written_and_what_is_left_out(out: Path, tmp_path: Path) -> None:
    (out / "images" / "a2.png").unlink()
    result = CliRunner().invoke(app, ["corrections", "export", str(tmp_path / "set"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"1 image written to {tmp_path / 'set'}",
        "1 corrected image left out: the original is no longer kept here",
        "Look at every image for burnt-in letters before you pass the folder on.",
    ]


def test_every_decision_is_listed_with_what_was_taken_back(out: Path) -> None:
    with closing(Decisions(out)) as decisions:
        decisions.supersede("a1", "a2", "another patient id")
        decisions.undo(3, "not the same image", "CD")
    listed = json.loads(CliRunner().invoke(app, ["corrections", "list", "--out", str(out), "--json"]).stdout)
    assert [(item["number"], item["kind"], item["by"], item["taken_back_by"]) for item in listed] == [
        (1, "correction", "AB", None),
        (2, "correction", "AB", None),
        (3, "superseded", None, 4),
        (4, "undo", "CD", None),
    ]
    shown = CliRunner().invoke(app, ["corrections", "list", "--out", str(out), "--kind", "superseded"]).stdout
    assert "back by 4" in shown
    assert shown.splitlines()[-1] == "1 decision"
    wrong = CliRunner().invoke(app, ["corrections", "list", "--out", str(out), "--kind", "odd"])
    assert "expected one of correction" in str(wrong.exception)
