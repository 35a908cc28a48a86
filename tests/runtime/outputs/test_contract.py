"""Outputs of one file per image."""

from __future__ import annotations

from datetime import timezone
from pathlib import Path

from lungsev.runtime.outputs.contract import FileOutput


def test_a_file_is_written_whole_or_not_at_all(make_scored, skipped, tmp_path: Path) -> None:
    def encode(scored, zone) -> bytes | None:
        return str(zone).encode() if scored.report.status == "scored" else None

    output = FileOutput("test", "tests", ".bin", encode, zone=timezone.utc)
    assert output.write(skipped, tmp_path / "skipped.bin") is None
    assert output.write(make_scored(), tmp_path / "scored.bin") == tmp_path / "scored.bin"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"scored.bin": b"UTC"}
