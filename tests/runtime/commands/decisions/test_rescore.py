"""`lungsev-run rescore`, and what is due in a folder done without a watcher."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bedside_images import MODEL, QUICK_BEDSIDE, Bedside, QuickModel, drop, png
from typer.testing import CliRunner

from lungsev.errors import LungsevError
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.runtime.cli import app
from lungsev.runtime.commands.decisions import work_off
from lungsev.runtime.patients.decisions import read_decisions
from lungsev.runtime.watcher.layout import lock_out
from lungsev.runtime.watcher.watcher import Watcher

NEW_MODEL = replace(MODEL, version="2", bundle_sha256="1" * 64)
Run = Callable[..., list[str]]


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    """Two patients' images: one of today, one of 2020."""
    side = Bedside.make(tmp_path)
    patients = {png(1): PatientInfo(id="NEW"), png(2): PatientInfo(id="OLD")}
    acquired = {png(2): Moment("2020-01-01", "day")}
    model = QuickModel(patients=patients, acquired=acquired)
    for number in (1, 2):
        drop(side.incoming, f"{number}.png", png(number))
    Watcher(side.incoming, side.layout, QUICK_BEDSIDE, lambda: model).run(threading.Event(), once=True)
    return side


@pytest.fixture
def rescore(side: Bedside, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with another model, and no settings but `outputs: [json]`."""
    settings = side.incoming.parent / "settings.yaml"
    settings.write_text("outputs: [json]\n")
    monkeypatch.setattr(work_off, "load", lambda *_, **__: QuickModel(info=NEW_MODEL, grade=3))

    def run(*words: str) -> list[str]:
        command = ["rescore", str(side.layout.root), "--config", str(settings), "--by", "AB", *words]
        result = CliRunner().invoke(app, command)
        if isinstance(result.exception, LungsevError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    return run


def versions(side: Bedside) -> dict[str, str]:
    return {report.patient.id or "": report.model.version for report in side.reports().values() if report.model}


def test_only_patients_on_the_board_are_scored_again_unless_all_are_asked_for(side: Bedside, rescore: Run) -> None:
    assert rescore()[-1] == "1 image scored again, 0 keep their score"
    assert versions(side) == {"NEW": "2", "OLD": "1"}
    assert rescore("--all")[-1] == "1 image scored again, 1 keep their score"
    assert versions(side) == {"NEW": "2", "OLD": "2"}
    assert len(list((side.layout.versions / "reports").iterdir())) == 2
    assert [item.kind for item in read_decisions(side.layout.root).decisions] == [
        "rescore", "rescored", "rescore", "rescored",
    ]  # fmt: skip


def test_a_patient_or_a_day_can_be_chosen(side: Bedside, rescore: Run) -> None:
    assert json.loads(rescore("--patient", "OLD", "--json")[-1]) == {
        "asked_for": 1, "by_watcher": False, "scored": 1, "amended": 1, "unsent": 0,
    }  # fmt: skip
    assert versions(side) == {"NEW": "1", "OLD": "2"}
    assert rescore("--all", "--since", "2021-01-01")[-1] == "1 image scored again, 0 keep their score"
    with pytest.raises(LungsevError, match="found no scored image to score again"):
        rescore("--patient", "OLD", "--since", "2021-01-01")


def test_a_running_watcher_is_asked_to_do_it(side: Bedside, rescore: Run) -> None:
    with lock_out(side.layout):
        assert rescore("--all") == ["the watcher that runs here scores 2 images again when it is idle"]
        assert json.loads(rescore("--all", "--json")[-1]) == {"asked_for": 2, "by_watcher": True}
    assert versions(side) == {"NEW": "1", "OLD": "1"}
    watcher = Watcher(side.incoming, side.layout, QUICK_BEDSIDE, lambda: QuickModel(info=NEW_MODEL))
    watcher.run(threading.Event(), once=True)
    assert versions(side) == {"NEW": "2", "OLD": "2"}


def test_results_that_the_settings_do_not_name_are_not_left_behind(side: Bedside, rescore: Run) -> None:
    (image,) = (name for name, report in side.reports().items() if report.patient.id == "NEW")
    path = side.layout.reports / f"{image}.json"
    path.write_text(path.read_text().replace('"name": "json"', '"name": "hl7"'))
    with pytest.raises(LungsevError, match="also has results of hl7, which the settings do not name"):
        rescore()
    assert read_decisions(side.layout.root).decisions == []


def test_a_folder_without_a_ledger_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["rescore", str(tmp_path)])
    assert isinstance(result.exception, LungsevError)
    assert "found no ledger" in str(result.exception)
    assert CliRunner().invoke(app, ["rescore", str(tmp_path), "--all", "--open"]).exit_code == 2


def test_an_image_whose_original_is_gone_keeps_its_score(side: Bedside, rescore: Run) -> None:
    for path in side.layout.archive.rglob("*.png"):
        path.unlink()
    assert rescore("--all")[-1] == "0 images scored again, 2 keep their score"
