"""The command `lungsev-run trend`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from exam_makers import course_exam, scored_report
from typer.testing import CliRunner

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.cli import app
from lungsev.runtime.commands.trend import trend, trend_name


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    for hours, total in ((0, 4), (30, 9), (60, 8)):
        exam = course_exam(total, hours, patient="=EVIL\x1b[31m")
        (tmp_path / "reports" / f"{exam.id}.json").write_text(exam.report.to_json(), encoding="utf-8")
    (tmp_path / "reports" / "broken.json").write_text("{", encoding="utf-8")
    return tmp_path


def test_the_command_prints_a_table_and_writes_a_picture_that_does_not_name_the_patient(out: Path, capsys) -> None:
    trend("=EVIL\x1b[31m", out)
    printed = capsys.readouterr().out
    assert "+5 in 30 h" in printed
    assert "Latest: No clear change since the previous X-ray: -1 point in 30 h." in printed
    assert "\x1b" not in printed
    (picture,) = (out / "trends").iterdir()
    assert picture.stem == trend_name("=EVIL\x1b[31m")
    assert "EVIL" not in picture.name
    assert cv2.imread(str(picture)) is not None


def test_the_command_prints_json_for_machines(out: Path) -> None:
    result = CliRunner().invoke(app, ["trend", "=EVIL\x1b[31m", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [point["total"] for point in data["points"]] == [4, 9, 8]
    change = data["points"][1]["change"]
    assert (change["direction"], change["points"], change["hours"]) == ("worse", 5, 30.0)
    assert change["words"] == "probably worse, 86 %"
    assert data["points"][1]["sentence"].startswith("Probably worse, 86 %: +5 points in 30 h")
    assert data["disclaimer"].startswith("Research use only")


def test_an_unknown_patient_or_folder_is_one_line(out: Path, tmp_path: Path) -> None:
    with pytest.raises(
        LungsevError, match="no image of this patient among 3 reports of 1 patient; check the patient id"
    ):
        trend("nobody", out)
    with pytest.raises(LungsevError, match="cannot read reports"):
        trend("nobody", tmp_path / "none")
    with pytest.raises(LungsevError, match="none with a score under the scheme ralo"):
        trend("=EVIL\x1b[31m", out, "ralo", None, json_output=False)


def test_one_id_of_two_issuers_is_two_patients(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    for number, issuer in enumerate(("HOSP-A", "HOSP-B")):
        report = replace(scored_report(), patient=PatientInfo(id="4711", issuer=issuer))
        (tmp_path / "reports" / f"{number}.json").write_text(report.to_json(), encoding="utf-8")
    with pytest.raises(LungsevError, match="2 patients have this id, from the issuers HOSP-A, HOSP-B; choose one"):
        trend("4711", tmp_path)
    result = CliRunner().invoke(app, ["trend", "4711", "--out", str(tmp_path), "--json", "--issuer", "HOSP-B"])
    assert len(json.loads(result.stdout)["points"]) == 1
