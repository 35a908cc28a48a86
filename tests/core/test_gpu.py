"""The real device: driver, engine, parity, memory. `make test-gpu`; skipped with the reason where something is missing.

LUNGSEV_TEST_BUNDLE=path    tests another bundle than the packaged one
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from driver_contract import DriverContract

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import BackendError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.parity import HALF_TOLERANCE, ParityCase, compare, parity_cases
from lungsev.inference.tensorrt.build import BuildOptions, build_engine
from lungsev.inference.tensorrt.cuda import CudaBindingsDriver, CudaDriver, PycudaDriver, count_devices
from lungsev.inference.tensorrt.device_backend import DeviceBackend
from lungsev.inference.tensorrt.device_client import prepare_in_child, probe_device
from lungsev.inference.tensorrt.engine import find_target
from lungsev.inference.tensorrt.library import FLAVOURS, TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.prepare import open_tensorrt, prepare_engine
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.inference.tensorrt.supervisor import SupervisedBackend
from lungsev.runtime.benchmark.measure import BenchPlan, run_bench
from lungsev.runtime.settings import BedsideSettings, ModelSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(count_devices() == 0, reason="no NVIDIA GPU: libcuda.so.1 shows no device"),
]

DRIVERS = {"pycuda": ("pycuda.driver", PycudaDriver), "cuda-bindings": ("cuda.bindings.driver", CudaBindingsDriver)}


@pytest.fixture(params=DRIVERS)
def open_device(request: pytest.FixtureRequest) -> Callable[[], CudaDriver]:
    module, kind = DRIVERS[request.param]
    found = pytest.importorskip(module, reason=f"{request.param} is not installed", exc_type=ImportError)
    return lambda: kind(found)


@pytest.fixture(scope="module", params=FLAVOURS)
def library(request: pytest.FixtureRequest) -> TensorRTLibrary:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return load_tensorrt(request.param)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    chosen = os.environ.get("LUNGSEV_TEST_BUNDLE")
    return read_bundle(Path(chosen) if chosen else None)


@pytest.fixture(scope="module")
def cases(bundle: Bundle) -> list[ParityCase]:
    return list(parity_cases(bundle.manifest.input.size_px, phantoms=3))


@pytest.fixture
def driver(open_device: Callable[[], CudaDriver]) -> Iterator[CudaDriver]:
    opened = open_device()
    yield opened
    opened.close()


class TestDriver(DriverContract):
    def test_more_memory_than_the_card_has_is_explained(self, driver: CudaDriver) -> None:
        with pytest.raises(BackendError, match="out of memory"):
            driver.allocate(1 << 46)

    def test_closing_gives_the_memory_back(self, open_device: Callable[[], CudaDriver]) -> None:
        def free_while_open() -> int:
            opened = open_device()
            try:
                opened.allocate(256 << 20)
                return opened.info.free_bytes
            finally:
                opened.close()

        first = free_while_open()
        assert all(abs(free_while_open() - first) < 64 << 20 for _ in range(3))


class TestEngine:
    @pytest.fixture(scope="class")
    def precision(self, bundle: Bundle) -> str:
        return "fp16" if "fp16" in bundle.precisions else "fp32"

    @pytest.fixture(scope="class")
    def cache(self, bundle: Bundle, library: TensorRTLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder with a built and compared engine; a card this flavour does not take is a skip with its words."""
        folder = tmp_path_factory.mktemp("engines")
        try:
            prepare_engine(find_target(bundle, EngineSettings(cache=folder), library))
        except BackendError as error:
            if "does not run this engine here" in str(error) or "could not build" in str(error):
                pytest.skip(f"{library.flavour} {library.version} does not take this card: {error}")
            raise
        return folder

    def test_it_was_compared_before_its_first_use(self, cache: Path, precision: str) -> None:
        side = next(cache.glob("*.json")).read_text()
        assert '"refused": null' in side
        assert f'"precision": "{precision}"' in side

    def test_radiographs_get_the_grades_of_the_fp32_graph(
        self, bundle: Bundle, library: TensorRTLibrary, cache: Path, cases: list[ParityCase]
    ) -> None:
        with (
            open_tensorrt(bundle, EngineSettings(cache=cache), library=library) as backend,
            OnnxRuntimeBackend(bundle) as reference,
        ):
            assert backend.uses_graph or library.is_rtx
            parity = compare(("ONNX", reference.infer), ("engine", backend.infer), cases, bundle.manifest)
        parity.require(HALF_TOLERANCE)

    def test_the_same_radiograph_gives_the_same_numbers_from_any_thread(
        self, bundle: Bundle, library: TensorRTLibrary, cache: Path, cases: list[ParityCase]
    ) -> None:
        found = []
        with open_tensorrt(bundle, EngineSettings(cache=cache), library=library) as backend:
            threads = [threading.Thread(target=lambda: found.append(backend.infer(cases[0].image))) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for other in found[1:]:
            for name, values in found[0].items():
                np.testing.assert_array_equal(other[name], values)

    def test_the_second_start_builds_nothing(self, bundle: Bundle, library: TensorRTLibrary, cache: Path) -> None:
        said: list[str] = []
        open_tensorrt(bundle, EngineSettings(cache=cache), said.append, library=library).close()
        assert said == []

    def test_a_damaged_plan_is_built_again(self, bundle: Bundle, library: TensorRTLibrary, cache: Path) -> None:
        plan = next(cache.glob("*.plan"))
        plan.write_bytes(plan.read_bytes()[:-1000])
        said: list[str] = []
        open_tensorrt(bundle, EngineSettings(cache=cache), said.append, library=library).close()
        assert any("damaged" in line for line in said)

    def test_both_precisions_build(self, bundle: Bundle, library: TensorRTLibrary, cache: Path) -> None:
        for precision in bundle.precisions:
            built = build_engine(bundle.graph_bytes(precision), library, BuildOptions())
            assert (built.half_layers > built.layers / 2) == (precision == "fp16")

    def test_the_bench_runs(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LUNGSEV_CACHE", str(cache))
        settings = BedsideSettings(model=ModelSettings(backend="tensorrt"))
        result = run_bench(BenchPlan(settings, runs=5, drops=2, cold_start=False))
        assert result.model.backend == "tensorrt"
        assert result.stages["infer"].p50 > 0
        assert result.drops["drop_to_result"].p50 > 0
        assert result.profile is not None
        assert result.profile.layers


class TestDeviceProcess:
    """What users run: build, comparison and runs in processes of their own, with the CPU beside them."""

    @pytest.fixture(scope="class")
    def settings(self, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
        settings = EngineSettings(cache=tmp_path_factory.mktemp("engines"))
        try:
            prepare_in_child(bundle, settings)
        except BackendError as error:
            pytest.skip(f"this card gets no engine: {error}")
        return settings

    def test_the_probe_names_card_and_engine(self, bundle: Bundle, settings: EngineSettings) -> None:
        facts = probe_device(bundle, settings)
        assert facts["device"]
        assert Path(facts["engine"]).is_file()

    def test_half_layers_are_counted_in_the_built_engine(self, bundle: Bundle, settings: EngineSettings) -> None:
        assert settings.cache is not None
        side = json.loads(next(settings.cache.glob("*.json")).read_text())
        assert side["layers"] > 0
        assert (side["half_layers"] > 0) == ("fp16" in bundle.precisions)

    def test_a_child_that_is_killed_costs_no_image_and_comes_back(
        self, bundle: Bundle, settings: EngineSettings, cases: list[ParityCase]
    ) -> None:
        with (
            OnnxRuntimeBackend(bundle) as cpu,
            SupervisedBackend(
                bundle, OnnxRuntimeBackend(bundle), settings, build=False, first_pause_seconds=0.1
            ) as gpu,
        ):
            assert gpu.wait_until_settled().state == "ready"
            compare(("CPU", cpu.infer), ("GPU", gpu.infer), cases, bundle.manifest).require(HALF_TOLERANCE)
            assert gpu.name == "tensorrt"
            device = gpu.in_use
            assert isinstance(device, DeviceBackend)
            os.kill(device.pid, signal.SIGKILL)
            gpu.infer(cases[0].image)
            assert gpu.name == "onnxruntime"
            while gpu.status.state != "ready":
                time.sleep(0.1)
            gpu.infer(cases[0].image)
            assert gpu.name == "tensorrt"
