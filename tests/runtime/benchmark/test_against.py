from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from lungsev.errors import LungsevError
from lungsev.runtime.benchmark.against import compare_benches, read_bench

BEFORE: dict[str, Any] = {
    "kind": "lungsev-bench",
    "lungsev": "0.1.0",
    "measured_at": "2026-11-01T08:00:00+00:00",
    "machine": {"processor": "AMD EPYC", "cores": 2},
    "load": {"warnings": []},
    "model": {"name": "m", "bundle_sha256": "a" * 64, "backend": "onnxruntime"},
    "stages": {"read": {"p50": 100.0, "p90": 120.0, "fastest": 90.0}, "total": {"p50": 200.0}},
    "drops": {"drop_to_result": {"p50": 500.0}},
    "peak_memory_mb": 400.0,
    "cold_start_ms": None,
    "floor": {"floor_ms": 20.0, "ratio": 1.5},
    "sensors": {"energy_j_per_image": 2.0},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BEFORE), **changes}


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "before.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_every_figure_has_its_ratio() -> None:
    now = changed(stages={"read": {"p50": 50.0, "p90": 60.0, "fastest": 45.0}, "total": {"p50": 100.0}})
    ratios = {ratio.name: ratio for ratio in compare_benches(now, BEFORE).ratios}
    assert ratios["read, median"].ratio == 0.5
    assert (ratios["total, median"].before, ratios["total, median"].now, ratios["total, median"].unit) == (
        200,
        100,
        "ms",
    )
    assert set(ratios) >= {"watched folder, drop to result, median", "memory", "times the floor", "energy per image"}
    assert all(ratio.ratio == 1.0 for name, ratio in ratios.items() if not name.startswith(("read", "total")))
    assert compare_benches(now, BEFORE).differences == ()


def test_what_only_one_of_them_has_is_named_and_nothing_is_divided_by_nothing() -> None:
    now = changed(cold_start_ms=900.0, drops={}, peak_memory_mb=400.0)
    comparison = compare_benches(now, changed(peak_memory_mb=0))
    assert comparison.missing == ("fresh process, open", "watched folder, drop to result, median")
    assert next(ratio.ratio for ratio in comparison.ratios if ratio.name == "memory") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lungsev": "0.2.0"}, "lungsev differs: 0.1.0 before, 0.2.0 now"),
        ({"machine": {"processor": "Intel", "cores": 2}}, "processor differs: AMD EPYC before, Intel now"),
        ({"machine": {"processor": "AMD EPYC", "cores": 4}}, "CPUs differs: 2 before, 4 now"),
        (
            {"model": {"name": "m", "bundle_sha256": "b" * 64, "backend": "onnxruntime"}},
            "bundle differs: aaaaaaaaaaaa before, bbbbbbbbbbbb now",
        ),
        ({"radiograph": "an image of the user"}, "image differs: not stated before, an image of the user now"),
        ({"load": {"warnings": ["others were busy"]}}, "the machine was loaded now: others were busy"),
    ],
)
def test_what_makes_it_no_fair_comparison_is_said(change: dict[str, Any], said: str) -> None:
    assert compare_benches(changed(**change), BEFORE).differences == (said,)


def test_an_earlier_result_is_read_and_one_without_its_kind_too(tmp_path: Path) -> None:
    assert read_bench(written(tmp_path, json.dumps(BEFORE))) == BEFORE
    older = {key: value for key, value in BEFORE.items() if key not in ("kind", "drops", "load", "sensors")}
    assert read_bench(written(tmp_path, json.dumps(older)))["stages"] == BEFORE["stages"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "is JSON of something else"),
        ("{}", "is JSON of something else"),
        (
            json.dumps({"kind": "lungsev-side-by-side", **{k: v for k, v in BEFORE.items() if k != "kind"}}),
            "something else",
        ),
        (json.dumps(changed(stages=[1])), "is JSON of something else"),
        (json.dumps(changed(stages={"read": 5})), "is damaged: found stages.read '5', not an object"),
        (json.dumps(changed(stages={"read": {"p50": "fast"}})), "found stages.read.p50 'fast', not a number"),
        (json.dumps(changed(peak_memory_mb=float("nan"))), "found peak_memory_mb 'nan', not a number"),
        (json.dumps(changed(drops=[1])), "found drops '[1]', not an object"),
    ],
)
def test_a_file_that_is_no_result_is_refused_in_one_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(LungsevError) as refused:
        read_bench(written(tmp_path, content))
    assert said in str(refused.value)
    assert "expected the JSON that lungsev-run bench" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(LungsevError, match="cannot read"):
            read_bench(path)
