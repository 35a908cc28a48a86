from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungsev import model as model_module
from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import LungsevError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.report import ModelInfo
from lungsev.runtime.benchmark import measure as measure_module
from lungsev.runtime.benchmark.drop import DropTimes
from lungsev.runtime.benchmark.measure import STAGES, BenchPlan, run_bench
from lungsev.runtime.settings import BedsideSettings, ModelSettings
from lungsev.sandbox.client import Sandbox


@pytest.fixture(scope="module")
def radiograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(1), tmp_path_factory.mktemp("image") / "image.dcm")


def plan(bundle: Bundle | None, radiograph: Path, **changes: Any) -> BenchPlan:
    settings = BedsideSettings(model=ModelSettings(bundle=bundle.path if bundle is not None else None))
    quick = {"runs": 2, "pause_seconds": 0.0, "warm_up": 1, "drops": 0, "layers": False, "cold_start": False}
    return BenchPlan(settings, radiograph, **{**quick, **changes})


def test_every_stage_is_measured_and_the_total_is_their_sum(tiny_bundle: Bundle, radiograph: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    result = run_bench(
        plan(tiny_bundle, radiograph, runs=5, layers=True, progress=lambda *told: seen.append(told)),
    )
    assert tuple(result.stages) == tuple(name for name in STAGES if name != "transfer")
    for times in result.stages.values():
        assert 0 < times.fastest <= times.p50 <= times.p90 <= times.p95 <= times.p99
        assert times.n == 5
    parts = sum(result.stages[name].fastest for name in result.stages if name != "total")
    assert result.stages["total"].fastest >= parts - 0.01
    assert ("scoring one by one", 5, 5) in seen
    assert result.images_per_second > 0
    assert result.floor.note
    assert result.profile is not None
    assert result.profile.layers
    assert result.drops == {}
    assert json.loads(result.to_json())["model"]["backend"] == "onnxruntime"
    assert all(result.remarks())
    assert result.bfloat16 is not None


def test_the_image_is_read_in_the_sandbox_as_users_have_it(
    tiny_bundle: Bundle, radiograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = Sandbox.read

    def watched(self: Sandbox, path: Path) -> object:
        read.append(path)
        return original(self, path)

    monkeypatch.setattr(Sandbox, "read", watched)
    run_bench(plan(tiny_bundle, radiograph))
    assert read == [radiograph] * 5  # one to warm up, two in a row, two one by one


def test_each_timed_image_comes_after_a_pause(
    tiny_bundle: Bundle, radiograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(measure_module.time, "sleep", paused.append)
    result = run_bench(plan(tiny_bundle, radiograph, pause_seconds=0.25))
    assert paused.count(0.25) == result.runs == 2
    assert result.pause_seconds == 0.25


def test_the_drops_have_the_backend_that_scored_and_the_settings_of_the_user(
    tiny_bundle: Bundle, radiograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def drop(settings: BedsideSettings, image: Path, count: int, folder: Path | None, progress: Any) -> list[DropTimes]:
        asked.append((settings.model.backend, settings.model.bundle, image, folder))
        progress(count, count)
        return [DropTimes(100.0, 400.0 + index, 500.0 + index, "onnxruntime fp32 on cpu") for index in range(count)]

    monkeypatch.setattr(measure_module, "measure_drops", drop)
    seen: list[tuple[str, int, int]] = []
    result = run_bench(
        plan(tiny_bundle, radiograph, runs=1, warm_up=0, drops=3, progress=lambda *told: seen.append(told))
    )
    assert asked == [("onnxruntime", tiny_bundle.path, radiograph, None)]
    assert list(result.drops) == ["wait", "work", "drop_to_result"]
    assert (result.drops["drop_to_result"].p50, result.drops["drop_to_result"].n) == (501.0, 3)
    assert result.drop_disk
    assert result.drop_backend == "onnxruntime fp32 on cpu"
    assert ("dropping into the watched folder", 3, 3) in seen


class OnADevice(OnnxRuntimeBackend):
    """ONNX Runtime, had the card its memory."""

    device = "NVIDIA H100 80GB HBM3"
    moved = 0

    def transfer(self, image: np.ndarray) -> None:
        assert image.shape == (1, 1, 512, 512)
        self.moved += 1


def test_the_way_to_a_device_is_timed_apart_and_its_floor_is_from_the_data_sheet(
    radiograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OnADevice(read_bundle(None))
    monkeypatch.setattr(model_module, "open_backend", lambda *_: backend)
    result = run_bench(plan(None, radiograph))
    assert backend.moved == 5
    assert tuple(result.stages) == STAGES
    assert result.floor.peak is not None
    assert result.floor.peak.gb_per_s == 3350
    assert result.floor.floor_ms is not None
    assert result.floor.ratio == pytest.approx(result.stages["infer"].fastest / result.floor.floor_ms, rel=0.1)
    assert result.bfloat16 is None


def test_the_backend_that_scored_is_opened_again_by_its_name() -> None:
    info = ModelInfo("m", "1", "0" * 64, "openvino", "cpu", "bf16")
    assert measure_module._backend_name(info) == "bfloat16"
    assert measure_module._backend_name(replace(info, precision="fp32")) == "openvino"


def test_an_image_that_gets_no_score_is_timed_and_said_to(radiograph: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"reason": "no_lungs"}')
    reason = measure_module._reason_in(tmp_path / "report.json")
    said = measure_module._describe_image(BenchPlan(radiograph=radiograph), reason)
    assert said == "an image of the user, which gets no score (no_lungs)"
    assert "phantom" in measure_module._describe_image(BenchPlan(), None)


def test_an_image_that_cannot_be_read_is_said(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "letter.dcm").write_bytes(b"Dear colleague, this is no image.")
    with pytest.raises(LungsevError, match=r"the image cannot be timed: .*Give another image"):
        run_bench(plan(tiny_bundle, tmp_path / "letter.dcm"))


def test_a_fresh_process_is_timed_to_its_first_score(tiny_bundle: Bundle, radiograph: Path) -> None:
    opened, scored = measure_module._cold_start(tiny_bundle.path, "auto", None, radiograph)
    assert 0 < opened < scored


def test_a_cold_start_that_fails_says_why(radiograph: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match=r"there is no bundle at .*; leave it out with --warm"):
        measure_module._cold_start(tmp_path / "none", "auto", None, radiograph)


def test_the_portable_phantom_has_the_size_of_a_portable_unit(tmp_path: Path) -> None:
    import pydicom

    dataset = pydicom.dcmread(measure_module.write_portable_image(tmp_path / "image.dcm"))
    assert (dataset.Rows, dataset.Columns, dataset.BitsStored) == (2500, 2048, 12)
