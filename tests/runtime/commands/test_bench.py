from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench_results import RESULT
from typer.testing import CliRunner

from lungsev.errors import LungsevError
from lungsev.runtime.benchmark import measure
from lungsev.runtime.benchmark.measure import BenchPlan
from lungsev.runtime.cli import app
from lungsev.runtime.commands.bench import bench


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[BenchPlan]:
    """What was to be measured; the measuring itself has its own tests."""
    plans: list[BenchPlan] = []

    def run(plan: BenchPlan) -> object:
        plans.append(plan)
        plan.progress("scoring", 1, 2)
        return RESULT

    monkeypatch.setattr(measure, "run_bench", run)
    return plans


def test_it_prints_a_line_for_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    bench()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if ": median " in line] == ["total", "wait", "work", "drop to result"]
    assert "drop to result: median 500.0, p90 500.0, p95 500.0, p99 500.0, fastest 500.0" in lines
    assert "conv: operator Conv, ms 2.500, share 100.0%, GFLOP 0.500, MB 3.00, floor ms 1.000" in lines
    assert any("floor of the network" in line for line in lines)
    assert "from the watched folder to the result on the disk, ms, 1 image, one at a time, on ext4:" in lines


def test_what_is_asked_for_is_measured(asked: list[BenchPlan], tmp_path: Path) -> None:
    bench(tmp_path / "mine.dcm", None, "onnxruntime", 3, runs=7, drops=0, folder=tmp_path, layers=0, cold_start=False)
    (plan,) = asked
    assert (plan.settings.model.backend, plan.settings.model.threads) == ("onnxruntime", 3)
    assert (plan.radiograph, plan.runs, plan.drops, plan.drop_folder) == (tmp_path / "mine.dcm", 7, 0, tmp_path)
    assert (plan.layers, plan.cold_start) == (False, False)


def test_an_earlier_result_is_set_beside_the_new_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = replace(RESULT, machine={**RESULT.machine, "processor": "another"}, peak_memory_mb=250.0)
    (tmp_path / "before.json").write_text(before.to_json())
    bench(against=tmp_path / "before.json")
    lines = capsys.readouterr().out.splitlines()
    assert "memory: unit MB, before 250, now 500, now / before 2.000" in lines
    assert "warning: processor differs: another before, AMD EPYC now" in lines
    bench(against=tmp_path / "before.json", json_output=True)
    against = json.loads(capsys.readouterr().out)["against"]
    assert {"name": "memory", "unit": "MB", "before": 250.0, "now": 500.0, "ratio": 2.0} in against["ratios"]


def test_the_json_goes_to_a_file_and_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench(out=tmp_path / "now.json", json_output=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "now.json").read_text())
    assert printed["kind"] == "lungsev-bench"


def test_a_wrong_file_is_said_before_anything_is_measured(asked: list[BenchPlan], tmp_path: Path) -> None:
    (tmp_path / "letter.json").write_text("Dear colleague")
    with pytest.raises(LungsevError, match=r"letter.json is not JSON"):
        bench(against=tmp_path / "letter.json")
    for place in (tmp_path, tmp_path / "none" / "out.json"):
        with pytest.raises(LungsevError, match=r"cannot write .*expected a file in a folder that exists"):
            bench(out=place)
    assert asked == []


@pytest.mark.parametrize("options", [["--runs", "0"], ["--drops", "-1"], ["--folder", "/does/not/exist"]])
def test_a_wrong_use_is_told_as_one(options: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", *options]).exit_code == 2
