from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from lungsev import bench
from lungsev.bench import KNOWN_DEVICES, STAGES, describe_machine, matrix_peak_gflops, run_bench
from lungsev.bundle import Bundle
from lungsev.errors import LungsevError
from lungsev.phantom import make_phantom, write_phantom_dicom


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(1), tmp_path_factory.mktemp("film") / "film.dcm")


def test_every_stage_is_measured_and_the_total_is_their_sum(tiny_bundle: Bundle, film: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = run_bench(
        tiny_bundle.path, film=film, runs=5, warm_up=1, cold_start=False, progress=lambda a, b: seen.append((a, b))
    )
    assert tuple(result.stages) == STAGES
    for times in result.stages.values():
        assert 0 < times.fastest <= times.p50 <= times.p95 <= times.p99
    parts = sum(result.stages[name].fastest for name in STAGES if name != "total")
    assert result.stages["total"].fastest >= parts - 0.01
    assert seen[-1] == (5, 5)
    assert result.films_per_second > 0
    assert result.floor.floor_ms is None
    assert json.loads(result.to_json())["model"]["backend"] == "onnxruntime"
    assert len(result.rows()) == len(STAGES)
    assert all(result.remarks())


def test_a_fresh_process_is_timed_to_its_first_score(tiny_bundle: Bundle, film: Path) -> None:
    result = run_bench(tiny_bundle.path, film=film, runs=2, warm_up=0)
    assert result.cold_start_ms is not None
    assert result.first_score_ms is not None
    assert 0 < result.cold_start_ms < result.first_score_ms


def test_a_cold_start_that_fails_says_why(film: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="there is no bundle at"):
        bench._cold_start(tmp_path / "none", "auto", None, film)


def test_the_yardstick_is_a_real_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load_from_string(bench._matrix_product_graph(16))
    onnx.checker.check_model(model, full_check=True)
    a = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    from lungsev.inference.onnx_backend import open_session

    np.testing.assert_allclose(open_session(model.SerializeToString()).run(None, {"a": a})[0], a @ a, rtol=1e-5)
    assert matrix_peak_gflops(side=128, repeats=1) > 0


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["cores"] >= 1
    assert machine["processor"]


def test_the_processor_is_named_by_its_name_and_not_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model\t\t: 1\nmodel name\t: AMD EPYC\n")
    assert bench._processor(tmp_path / "cpuinfo") == "AMD EPYC"


def test_known_devices_state_peak_and_bandwidth() -> None:
    assert all(peak > 1 and bandwidth > 50 for peak, bandwidth in KNOWN_DEVICES.values())
