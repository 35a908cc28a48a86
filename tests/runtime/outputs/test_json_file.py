"""The JSON file is the report, whole, for every image."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.json_file import JsonFile

SCHEMA = json.loads((resources.files("lungsev") / "report_schema_v1.json").read_text(encoding="utf-8"))


def test_a_scored_image(make_scored, tmp_path: Path) -> None:
    scored = make_scored()
    assert written(scored, tmp_path) == scored.report


def test_a_skipped_and_a_failed_image(skipped: ScoredRadiograph, failed: ScoredRadiograph, tmp_path: Path) -> None:
    for scored in (skipped, failed):
        assert written(scored, tmp_path) == scored.report


def written(scored: ScoredRadiograph, folder: Path) -> SeverityReport:
    path = JsonFile().write(scored, folder / "image.dcm.json")
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), SCHEMA)
    return SeverityReport.from_json(text)
