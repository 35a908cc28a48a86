"""JSON Schema of the report, made from the classes of `lungsev.report`.

python -m lungsev.report_schema > lungsev/report_schema_v2.json
"""

from __future__ import annotations

import json
from typing import Any

from lungsev.report import (
    OPTIONAL_PARTS,
    OPTIONAL_REGION_PARTS,
    OPTIONAL_SCORE_PARTS,
    SCHEMA_VERSION,
    report_adapter,
)


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `SeverityReport.to_json` writes."""
    schema = report_adapter().json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs")
    for part in (schema, *definitions.values()):
        _close(part)
    optional = (
        (schema, OPTIONAL_PARTS),
        (definitions["SchemeScore"], OPTIONAL_SCORE_PARTS),
        (definitions["RegionScore"], OPTIONAL_REGION_PARTS),
    )
    for part, names in optional:
        for name in names:  # left out rather than null
            part["properties"][name] = _without_null(part["properties"][name])
            part["required"].remove(name)
    schema["properties"]["alignment"] |= {"minItems": 2, "maxItems": 2}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://lungsev.invalid/report_schema_v{SCHEMA_VERSION}.json",
        **schema,
        "title": f"lungsev severity report, schema version {SCHEMA_VERSION}",
        "allOf": _conditions(),
        "$defs": definitions,
    }


def _close(part: dict[str, Any]) -> None:
    """Require every key of an object and allow no other; keep the summary of its docstring."""
    part["description"] = part["description"].partition("\n\n")[0]
    part["required"] = list(part["properties"])
    part["additionalProperties"] = False
    for value in part["properties"].values():
        value.pop("title", None)
        value.pop("default", None)


def _without_null(value: dict[str, Any]) -> dict[str, Any]:
    kinds = [option for option in value.pop("anyOf") if option != {"type": "null"}]
    return {**value, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})}


def _conditions() -> list[dict[str, Any]]:
    """Say which parts belong to which status, as `SeverityReport.__post_init__` does."""
    passed = {"properties": {"verdict": {"enum": ["ok", "warn"]}}}
    return [
        {
            "if": _has_status("scored"),
            "then": {"required": ["model"], "properties": {"scores": {"minProperties": 1}, "quality": passed}},
            "else": {"required": ["message"], "properties": {"scores": {"maxProperties": 0}, "alignment": False}},
        },
        *(
            {
                "if": _has_status(status),
                "then": {"required": [part]},
                "else": {"properties": {part: False}},
            }
            for status, part in (("skipped", "reason"), ("failed", "error"))
        ),
    ]


def _has_status(status: str) -> dict[str, Any]:
    return {"properties": {"status": {"const": status}}}


if __name__ == "__main__":
    print(json.dumps(report_schema(), indent=1))
