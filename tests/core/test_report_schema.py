"""The published JSON Schema is the one that the classes of the report give."""

from __future__ import annotations

import json
from importlib import resources

from lungsev.report import OPTIONAL_PARTS, OPTIONAL_REGION_PARTS, OPTIONAL_SCORE_PARTS
from lungsev.report_schema import report_schema

PUBLISHED = json.loads((resources.files("lungsev") / "report_schema_v2.json").read_text(encoding="utf-8"))


def test_the_published_schema_is_up_to_date() -> None:
    assert report_schema() == PUBLISHED, "run: python -m lungsev.report_schema > lungsev/report_schema_v2.json"


def test_every_object_lists_and_closes_its_keys() -> None:
    schema = report_schema()
    for name, part in {"report": schema, **schema["$defs"]}.items():
        assert part["additionalProperties"] is False, name
        left_out = set(part["properties"]) - set(part["required"])
        optional = {
            "report": OPTIONAL_PARTS,
            "SchemeScore": OPTIONAL_SCORE_PARTS,
            "RegionScore": OPTIONAL_REGION_PARTS,
        }
        assert left_out == set(optional.get(name, ()))
        assert part["description"].endswith("."), name
        assert "\n" not in part["description"], name


def test_optional_parts_are_left_out_rather_than_null() -> None:
    schema = report_schema()
    assert schema["properties"]["reason"] == {
        "type": "string",
        "pattern": "^[a-z0-9_]+$",
        "description": "Why an image was skipped.",
    }
    assert schema["properties"]["model"] == {"$ref": "#/$defs/ModelInfo"}


def test_a_region_states_its_side() -> None:
    side = report_schema()["$defs"]["RegionScore"]["properties"]["side"]
    assert side["enum"] == ["right", "left", "both"]
    assert "patient" in side["description"]
