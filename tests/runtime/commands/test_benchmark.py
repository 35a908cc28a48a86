from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import LungsevError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.commands import benchmark
from lungsev.runtime.commands.benchmark import KNOWN_DEVICES, STAGES, describe_machine, matrix_peak_gflops, run_bench


@pytest.fixture(scope="module")
def radiograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(1), tmp_path_factory.mktemp("image") / "image.dcm")


def test_every_stage_is_measured_and_the_total_is_their_sum(tiny_bundle: Bundle, radiograph: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = run_bench(
        tiny_bundle.path,
        radiograph=radiograph,
        runs=5,
        warm_up=1,
        cold_start=False,
        progress=lambda a, b: seen.append((a, b)),
    )
    assert tuple(result.stages) == tuple(name for name in STAGES if name != "transfer")
    for times in result.stages.values():
        assert 0 < times.fastest <= times.p50 <= times.p95 <= times.p99
    parts = sum(result.stages[name].fastest for name in result.stages if name != "total")
    assert result.stages["total"].fastest >= parts - 0.01
    assert seen[-1] == (5, 5)
    assert result.images_per_second > 0
    assert result.floor.floor_ms is None
    assert json.loads(result.to_json())["model"]["backend"] == "onnxruntime"
    assert len(result.rows()) == len(result.stages)
    assert all(result.remarks())


class OnADevice(OnnxRuntimeBackend):
    """ONNX Runtime, had the card its memory."""

    device = "NVIDIA H100 80GB HBM3"
    moved = 0

    def transfer(self, image: np.ndarray) -> None:
        assert image.shape == (1, 1, 512, 512)
        self.moved += 1


def test_the_way_to_a_device_is_timed_apart_and_its_floor_is_the_data_sheet_s(
    radiograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OnADevice(read_bundle(None))
    monkeypatch.setattr(benchmark, "open_backend", lambda *_: backend)
    result = run_bench(None, radiograph=radiograph, runs=3, warm_up=1, cold_start=False)
    assert backend.moved == 3
    assert tuple(result.stages) == STAGES
    assert result.floor.peak_gflops == KNOWN_DEVICES["H100"][0] * 1000
    assert result.floor.floor_ms is not None
    assert result.floor.ratio == pytest.approx(result.stages["infer"].fastest / result.floor.floor_ms, rel=0.1)


def test_on_a_processor_the_floor_is_measured(radiograph: Path) -> None:
    result = run_bench(None, radiograph=radiograph, runs=3, warm_up=1, cold_start=False)
    floor = result.floor
    assert floor.gflop is not None
    assert floor.peak_gflops is not None
    assert floor.floor_ms == pytest.approx(floor.gflop / floor.peak_gflops * 1000, rel=0.01)
    assert any("the fastest run takes" in line for line in result.remarks())


@pytest.mark.parametrize(("has", "reason"), [(False, "does not multiply bfloat16"), (True, "openvino")])
def test_without_bfloat16_the_bench_says_why_it_has_no_figure(
    tiny_bundle: Bundle, radiograph: Path, monkeypatch: pytest.MonkeyPatch, has: bool, reason: str
) -> None:
    monkeypatch.setattr(benchmark, "has_bfloat16", lambda: has)
    monkeypatch.setitem(sys.modules, "openvino", None)  # not installed
    result = run_bench(tiny_bundle.path, radiograph=radiograph, runs=2, warm_up=0, cold_start=False)
    assert result.bfloat16 is not None
    assert (result.bfloat16.fastest_ms, result.bfloat16.times_as_fast) == (None, None)
    assert any(f"bfloat16 was not measured: {result.bfloat16.note}" == line for line in result.remarks())
    assert reason in result.bfloat16.note


def test_bfloat16_is_measured_beside_fp32(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason='pip install "lungsev[openvino]"', exc_type=ImportError)
    monkeypatch.setattr(benchmark, "has_bfloat16", lambda: True)
    half = benchmark._bfloat16(tiny_bundle, 1000.0, runs=2)
    assert half.fastest_ms is not None
    assert half.times_as_fast == pytest.approx(1000 / half.fastest_ms, rel=0.01, abs=0.01)


def test_a_fresh_process_is_timed_to_its_first_score(tiny_bundle: Bundle, radiograph: Path) -> None:
    result = run_bench(tiny_bundle.path, radiograph=radiograph, runs=2, warm_up=0)
    assert result.cold_start_ms is not None
    assert result.first_score_ms is not None
    assert 0 < result.cold_start_ms < result.first_score_ms


def test_a_cold_start_that_fails_says_why(radiograph: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="there is no bundle at"):
        benchmark._cold_start(tmp_path / "none", "auto", None, radiograph)


def test_the_yardstick_is_a_real_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load_from_string(benchmark._matrix_product_graph(16))
    onnx.checker.check_model(model, full_check=True)
    a = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    from lungsev.inference.onnxruntime import open_session

    np.testing.assert_allclose(open_session(model.SerializeToString()).run(None, {"a": a})[0], a @ a, rtol=1e-5)
    assert matrix_peak_gflops(side=128, repeats=1) > 0


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["cores"] >= 1
    assert machine["processor"]


def test_the_processor_is_named_by_its_name_and_not_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model\t\t: 1\nmodel name\t: AMD EPYC\n")
    assert benchmark._processor(tmp_path / "cpuinfo") == "AMD EPYC"


def test_known_devices_state_peak_and_bandwidth() -> None:
    assert all(peak > 1 and bandwidth > 50 for peak, bandwidth in KNOWN_DEVICES.values())
