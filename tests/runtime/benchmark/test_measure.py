from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lungsev import model as model_module
from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import LungsevError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.benchmark import measure as measure_module
from lungsev.runtime.benchmark.floor import KNOWN_DEVICES
from lungsev.runtime.benchmark.measure import STAGES, run_bench
from lungsev.sandbox.client import Sandbox


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
    run_bench(tiny_bundle.path, radiograph=radiograph, runs=2, warm_up=1, cold_start=False)
    assert read == [radiograph] * 3


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
    result = run_bench(None, radiograph=radiograph, runs=3, warm_up=1, cold_start=False)
    assert backend.moved == 4
    assert tuple(result.stages) == STAGES
    assert result.floor.peak_gflops == KNOWN_DEVICES["H100"][0] * 1000
    assert result.floor.floor_ms is not None
    assert result.floor.ratio == pytest.approx(result.stages["infer"].fastest / result.floor.floor_ms, rel=0.1)
    assert result.bfloat16 is None


def test_on_a_processor_the_floor_is_measured(radiograph: Path) -> None:
    result = run_bench(None, radiograph=radiograph, runs=2, warm_up=0, cold_start=False)
    floor = result.floor
    assert floor.gflop is not None
    assert floor.peak_gflops is not None
    assert floor.floor_ms == pytest.approx(floor.gflop / floor.peak_gflops * 1000, rel=0.01)
    assert any("the fastest run takes" in line for line in result.remarks())


def test_an_image_that_cannot_be_read_is_said(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "letter.dcm").write_bytes(b"Dear colleague, this is no image.")
    with pytest.raises(LungsevError, match=r"the image cannot be timed: .*Give another image"):
        run_bench(tiny_bundle.path, radiograph=tmp_path / "letter.dcm", runs=1, cold_start=False)


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
