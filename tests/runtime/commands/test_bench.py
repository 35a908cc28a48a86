from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.benchmark.measure import STAGES
from lungsev.runtime.commands.bench import bench


def test_it_prints_a_line_for_each_stage_or_json(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_phantom_dicom(make_phantom(1), tmp_path / "image.dcm")
    bench(image, tiny_bundle.path, "onnxruntime", 1, runs=2, cold_start=False)
    lines = capsys.readouterr().out.splitlines()
    stages = [stage for stage in STAGES if stage != "transfer"]
    assert [line.split(":")[0] for line in lines[: len(stages)]] == stages
    assert all(" ms, p99 " in line for line in lines[: len(stages)])
    assert any("images per second" in line for line in lines)
    bench(image, tiny_bundle.path, "onnxruntime", 1, runs=1, cold_start=False, json_output=True)
    document = json.loads(capsys.readouterr().out)
    assert list(document["stages"]) == stages
    assert document["runs"] == 1
