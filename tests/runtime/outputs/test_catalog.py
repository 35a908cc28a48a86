"""Outputs by name, and the two simplest of them."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import jsonschema
import pytest
from dicom_results import written
from standing_reports import in_state

from lungsev.errors import ConfigError, MissingExtraError
from lungsev.report import SeverityReport
from lungsev.runtime.delivery.destinations import SOP_CLASSES
from lungsev.runtime.outputs.catalog import DASHBOARD_OUTPUTS, OUTPUTS, open_outputs

SCHEMA = json.loads((resources.files("lungsev") / "report_schema_v2.json").read_text(encoding="utf-8"))


def test_the_default_is_the_report_and_the_picture() -> None:
    assert [output.name for output in open_outputs()] == ["json", "overlay"]


def test_each_name_counts_once_and_in_order() -> None:
    assert [output.name for output in open_outputs(["overlay", "json", "overlay"])] == ["overlay", "json"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'pdf' is unknown; known are json, overlay, csv"):
        open_outputs(["json", "pdf"])


def test_no_two_outputs_write_the_same_file() -> None:
    assert len({(output.folder, output.suffix) for output in OUTPUTS.values()}) == len(OUTPUTS)
    assert set(DASHBOARD_OUTPUTS) <= set(OUTPUTS)


def test_destinations_are_asked_for_the_classes_of_what_is_written(make_scored_dicom, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    superseded = in_state(make_scored_dicom(), "superseded")
    assert {name: written(name, superseded, tmp_path).SOPClassUID for name in SOP_CLASSES} == SOP_CLASSES


def test_outputs_are_told_the_sites_zone() -> None:
    rome = ZoneInfo("Europe/Rome")
    assert [output.zone for output in open_outputs(["json", "hl7"], rome)] == [rome, rome]
    assert [output.name for output in open_outputs(["csv"], rome)] == ["csv"]


def test_outputs_say_what_they_are_made_from() -> None:
    needs = {name: output.needs for name, output in OUTPUTS.items()}
    assert {name for name, what in needs.items() if what == "report"} == {"json", "csv", "dicom_ko", "fhir", "hl7"}
    assert {name for name, what in needs.items() if what == "header"} == {"dicom_sr", "dicom_pr"}


@pytest.mark.parametrize("name", ["dicom_sr", "dicom_pr", "dicom_ko"])
def test_a_missing_extra_is_named_before_any_image_is_scored(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingExtraError, match="bedside"):
        open_outputs(["json", name])
    assert [output.name for output in open_outputs(["dicom_sc", "fhir"])] == ["dicom_sc", "fhir"]


def test_the_json_file_is_the_whole_report_of_every_image(make_scored, skipped, failed, tmp_path: Path) -> None:
    for scored in (make_scored(), skipped, failed):
        path = open_outputs(["json"])[0].write(scored, tmp_path / "image.dcm.json")
        assert path == tmp_path / "image.dcm.json"
        text = path.read_text(encoding="utf-8")
        jsonschema.validate(json.loads(text), SCHEMA)
        assert SeverityReport.from_json(text) == scored.report
        assert text.endswith("}\n")


def test_the_overlay_is_written_for_an_image_without_pixels_too(failed, tmp_path: Path) -> None:
    path = open_outputs(["overlay"])[0].write(failed, tmp_path / "image.png")
    assert cv2.imread(str(path)) is not None
