from __future__ import annotations

import json
from dataclasses import replace

import pytest
from bench_results import FLOOR, QUIET, RESULT

from lungsev.runtime.benchmark.floor import Bfloat16, Floor
from lungsev.runtime.benchmark.peaks import Peak
from lungsev.runtime.benchmark.profile import Profile, ProfiledLayer
from lungsev.runtime.benchmark.result import BenchResult, format_ms, stage_times
from lungsev.runtime.benchmark.sensors import SensorRange, Sensors


def text(result: BenchResult) -> str:
    return "\n".join((*result.heading(), *result.remarks()))


def test_a_stage_has_median_p90_fastest_number_and_unit() -> None:
    times = stage_times([float(value) for value in range(1, 12)])
    assert (times.p50, times.p90, times.p99, times.fastest, times.n, times.unit) == (6, 10, 10.9, 1, 11, "ms")


@pytest.mark.parametrize(("value", "said"), [(154.49, "154.5"), (9.826, "9.83"), (0.4724, "0.472")])
def test_milliseconds_have_as_many_digits_as_they_deserve(value: float, said: str) -> None:
    assert format_ms(value) == said


def test_the_json_holds_everything_and_says_what_it_is() -> None:
    document = json.loads(RESULT.to_json())
    assert document["kind"] == "lungsev-bench"
    assert document["stages"]["total"]["n"] == 10
    assert document["load"]["warnings"] == []
    assert document["floor"]["layers"][1]["bound"] == "memory"
    assert document["sensors"]["not_told"] == ["clock", "temperature", "power", "energy"]


def test_a_quiet_machine_has_no_warning_and_a_loaded_one_has_it_at_the_top() -> None:
    assert "warning" not in text(RESULT)
    loaded = replace(RESULT, load=replace(QUIET, warnings=("others kept 1.0 of 2 CPUs busy", "the host took 9%")))
    assert loaded.heading()[2:] == [
        "warning: others kept 1.0 of 2 CPUs busy",
        "warning: the host took 9%; measure again on a quiet machine",
    ]


def test_the_floor_is_told_with_its_parts_and_how_far_the_network_is_from_it() -> None:
    said = text(RESULT)
    assert "floor of the network 32.00 ms: over its 2 layers" in said
    assert "25% of it is traffic" in said
    assert "takes 1.25 times that" in said
    assert "80 GFLOP/s, 40 GB/s (measured)" in said
    assert "no floor of the network: not known here" in text(replace(RESULT, floor=Floor("not known here")))
    card = replace(FLOOR, peak=Peak(67_000, 989_000, 3350, "data sheet"))
    assert "67000 GFLOP/s in FP32, 989000 in half precision" in text(replace(RESULT, floor=card))


def test_what_the_machine_does_not_tell_is_said_and_what_it_tells_has_a_range() -> None:
    assert "not told by this machine: clock, temperature, power, energy" in text(RESULT)
    told = Sensors(2.0, (SensorRange("power", "VDD_IN", "W", 5.0, 7.5, 9.0),), 0.75, "VDD_IN", "power", 4.0, ("clock",))
    said = text(replace(RESULT, sensors=told))
    assert "power VDD_IN: 7.5 W (5 to 9)" in said
    assert "energy: 0.75 J per image, idle power included (VDD_IN, by power, 4.0 W when idle)" in said
    assert "not told by this machine: clock" in said


def test_a_watcher_that_scored_with_another_backend_is_said_to_have() -> None:
    assert "watched folder were scored by" not in text(replace(RESULT, drop_backend="onnxruntime fp32 on cpu"))
    said = text(replace(RESULT, drop_backend="tensorrt fp16 on NVIDIA L4"))
    assert "warning: the images of the watched folder were scored by tensorrt fp16 on NVIDIA L4" in said


def test_bfloat16_and_a_fresh_process_are_told_where_they_were_measured() -> None:
    assert "fresh process" not in text(RESULT)
    said = text(replace(RESULT, cold_start_ms=900.0, first_score_ms=1100.4, bfloat16=Bfloat16(10.0, 0.3, 2.5, "")))
    assert "a fresh process is open after 900 ms, and has its first score after 1100 ms" in said
    assert "bfloat16 takes 10.0 ms, the 30% of images graded again in FP32 included: 2.5 times as fast" in said
    assert "bfloat16 was not measured: no AMX" in text(replace(RESULT, bfloat16=Bfloat16(None, None, None, "no AMX")))


def test_the_slowest_layers_are_rows_and_what_is_not_known_is_a_dash() -> None:
    layers = (
        ProfiledLayer("x" * 60, "Conv", "", 2.0, 0.8, 0.5, 3.0, 1.0),
        ProfiledLayer("short", "", "", 0.5, 0.2, None, None, None),
    )
    result = replace(RESULT, profile=Profile("the profiler", "", 10, 2.5, layers))
    first, second = result.layer_rows(5)
    assert first == ("x" * 37 + "...", "Conv", "2.000", "80.0%", "0.500", "3.00", "1.000")
    assert second == ("short", "-", "0.500", "20.0%", "-", "-", "-")
    assert len(result.layer_rows(1)) == 1
    assert "slowest of 2 layers, median ms of 10 runs, 2.5 ms in all (the profiler)" in result.layer_title()
    assert replace(RESULT, profile=None).layer_title() == ""
    assert "not measured: why" in replace(RESULT, profile=Profile("x", "why")).layer_title()
