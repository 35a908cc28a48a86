"""The reference form of a report: one JSON file, schema `lungsev/report_schema_v1.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lungsev.pipeline import ScoredRadiograph
from lungsev.system import write_atomically


@dataclass(frozen=True)
class JsonFile:
    """Every image, whatever its status."""

    name: str = "json"
    folder: str = "reports"
    suffix: str = ".json"

    def write(self, scored: ScoredRadiograph, target: Path) -> Path:
        write_atomically(target, (scored.report.to_json() + "\n").encode("utf-8"))
        return target
