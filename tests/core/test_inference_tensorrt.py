"""The TensorRT backend against stand-ins that compute: see `fake_nvidia`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from fake_nvidia import FakeCudaBindings, FakeDevice, FakeLibcuda, FakePycuda, make_fake_tensorrt
from tiny_bundle import tiny_graph

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference import select
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.parity import ParityCase, parity_cases
from lungsev.inference.tensorrt import engine
from lungsev.inference.tensorrt.build import BuildOptions, BuiltEngine, build_engine
from lungsev.inference.tensorrt.cache import EngineKey, obtain_engine
from lungsev.inference.tensorrt.cuda import CudaBindingsDriver, CudaDriver, PycudaDriver
from lungsev.inference.tensorrt.engine import EngineRequest, open_tensorrt
from lungsev.inference.tensorrt.library import TensorRTLibrary, describe_library, missing_message
from lungsev.inference.tensorrt.runner import TensorRTBackend


def bindings(device: FakeDevice) -> Callable[[], CudaDriver]:
    return lambda: CudaBindingsDriver(FakeCudaBindings(device))


def pycuda(device: FakeDevice) -> Callable[[], CudaDriver]:
    return lambda: PycudaDriver(FakePycuda(device), FakeLibcuda(device))


def library_of(module: Any) -> TensorRTLibrary:
    return describe_library(module, "tensorrt")


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture(scope="module")
def cases() -> list[ParityCase]:
    """The gate's own images, drawn once."""
    return list(parity_cases(512))


@pytest.fixture
def open_engine(
    tiny_bundle: Bundle,
    tmp_path: Path,
    device: FakeDevice,
    cases: list[ParityCase],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    monkeypatch.setattr(engine, "parity_cases", lambda _size_px: iter(cases))

    def opened(
        module: Any = None, driver: Callable[[FakeDevice], Callable[[], CudaDriver]] = bindings, **request: Any
    ) -> Any:
        module = module or make_fake_tensorrt(device)
        return open_tensorrt(
            tiny_bundle,
            EngineRequest(cache_dir=tmp_path / "engines", **request),
            said.append,
            library=library_of(module),
            open_device=driver(device),
        )

    said: list[str] = []
    opened.said = said  # type: ignore[attr-defined]
    return opened


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 1, 512, 512), dtype=np.float32)


@pytest.mark.parametrize("driver", [bindings, pycuda], ids=["cuda-bindings", "pycuda"])
@pytest.mark.parametrize("integrated", [False, True], ids=["desktop", "jetson"])
def test_a_radiograph_gives_the_same_numbers_as_onnx_runtime_and_everything_is_freed(
    tiny_bundle: Bundle, device: FakeDevice, open_engine: Callable[..., Any], driver: Any, integrated: bool
) -> None:
    device.integrated = integrated
    with open_engine(driver=driver) as backend, OnnxRuntimeBackend(tiny_bundle) as reference:
        assert backend.uses_graph
        assert (backend.device, backend.precision) == ("Fake GPU", "fp32")
        for seed in range(2):
            expected = reference.infer(image(seed))
            found = backend.infer(image(seed))
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, atol=1e-6)
    assert device.is_clean


def test_an_integrated_device_copies_nothing(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    device.integrated = True
    with open_engine() as backend:
        backend.infer(image())
    assert "cuMemcpyHtoDAsync" not in device.calls
    assert "cuMemAlloc" not in device.calls


def test_the_way_to_the_device_and_back_alone_runs_no_engine(
    device: FakeDevice, open_engine: Callable[..., Any]
) -> None:
    with open_engine() as backend:
        backend.infer(image(0))
        device.calls.clear()
        backend.transfer(image(1))
        copies = [call for call in device.calls if call.startswith("cuMemcpy")]
        assert copies[0].startswith("cuMemcpyHtoD")
        assert len(copies) > 3
        assert "cuGraphLaunch" not in device.calls
        with pytest.raises(BackendError, match="takes float32"):
            backend.transfer(image()[:, :, :8])
    with pytest.raises(BackendError, match="closed"):
        backend.transfer(image())


def test_outputs_belong_to_the_caller(open_engine: Callable[..., Any]) -> None:
    with open_engine() as backend:
        first = backend.infer(image(0))
        kept = first["theta"].copy()
        backend.infer(image(1))
        np.testing.assert_array_equal(first["theta"], kept)


def test_any_thread_may_ask(open_engine: Callable[..., Any]) -> None:
    results: list[np.ndarray] = []
    with open_engine() as backend:
        threads = [threading.Thread(target=lambda: results.append(backend.infer(image())["theta"])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 4
    assert all(np.array_equal(results[0], other) for other in results)


def test_a_closed_backend_says_so_and_may_be_closed_again(open_engine: Callable[..., Any]) -> None:
    backend = open_engine()
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(image())


def test_without_a_graph_it_runs_on(device: FakeDevice, open_engine: Callable[..., Any], caplog: Any) -> None:
    device.fail["cuStreamBeginCapture"] = 900
    with open_engine() as backend:
        assert not backend.uses_graph
        assert np.isfinite(backend.infer(image())["theta"]).all()
    assert "without a CUDA graph" in caplog.text
    assert device.is_clean


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [("cuMemAlloc", 2, "out of memory"), ("cuStreamSynchronize", 719, "GPU stopped"), ("cuInit", 100, "no NVIDIA GPU")],
)
def test_a_failing_driver_is_explained(
    device: FakeDevice, open_engine: Callable[..., Any], call: str, code: int, message: str
) -> None:
    device.fail[call] = code
    with pytest.raises(BackendError, match=message):
        open_engine()


def test_a_device_that_fails_later_is_explained(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    with open_engine() as backend:
        device.fail["cuGraphLaunch"] = 700
        with pytest.raises(BackendError, match="outside its memory"):
            backend.infer(image())


class TestCache:
    def test_the_second_start_builds_nothing_and_compares_nothing(
        self, device: FakeDevice, open_engine: Callable[..., Any]
    ) -> None:
        module = make_fake_tensorrt(device)
        open_engine(module).close()
        assert any("0 of 60 grades changed" in line for line in open_engine.said)  # type: ignore[attr-defined]
        open_engine.said.clear()  # type: ignore[attr-defined]
        open_engine(module).close()
        assert module.builds == 1
        assert open_engine.said == []  # type: ignore[attr-defined]

    def test_a_new_driver_builds_again_and_names_both(
        self, device: FakeDevice, open_engine: Callable[..., Any]
    ) -> None:
        module = make_fake_tensorrt(device)
        open_engine(module).close()
        device.driver = 13000
        open_engine(module).close()
        assert module.builds == 2
        assert any("driver: found '12.4', expected '13.0'" in line for line in open_engine.said)  # type: ignore[attr-defined]

    def test_an_engine_built_by_other_rules_is_built_again(
        self, device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
    ) -> None:
        module = make_fake_tensorrt(device)
        open_engine(module).close()
        side = next((tmp_path / "engines").glob("*.json"))
        facts = json.loads(side.read_text())
        del facts["key"]["build_rules"]  # as releases before wrote it
        side.write_text(json.dumps(facts))
        open_engine(module).close()
        assert module.builds == 2
        assert any("build_rules: found None" in line for line in open_engine.said)  # type: ignore[attr-defined]

    def test_an_engine_of_another_device_is_not_loaded(
        self, device: FakeDevice, open_engine: Callable[..., Any]
    ) -> None:
        module = make_fake_tensorrt(device)
        open_engine(module).close()
        device.name = "Other GPU"
        open_engine(module).close()
        assert any("device: found 'Fake GPU', expected 'Other GPU'" in line for line in open_engine.said)  # type: ignore[attr-defined]

    def test_a_truncated_plan_is_built_again(
        self, device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
    ) -> None:
        module = make_fake_tensorrt(device)
        open_engine(module).close()
        plan = next((tmp_path / "engines").glob("*.plan"))
        plan.write_bytes(plan.read_bytes()[:1000])
        open_engine(module).close()
        assert module.builds == 2
        assert any("checksum differs" in line for line in open_engine.said)  # type: ignore[attr-defined]

    def test_a_damaged_side_file_is_built_again(
        self, device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
    ) -> None:
        module = make_fake_tensorrt(device)
        open_engine(module).close()
        next((tmp_path / "engines").glob("*.json")).write_text("[1, 2")
        open_engine(module).close()
        assert module.builds == 2

    def test_a_plan_that_does_not_load_is_built_again_once_and_then_refused(
        self, device: FakeDevice, open_engine: Callable[..., Any]
    ) -> None:
        module = make_fake_tensorrt(device, refuse_plans=True)
        with pytest.raises(BackendError, match="damaged, or was built for another version or device"):
            open_engine(module)
        assert module.builds == 2
        assert device.is_clean

    def test_a_wrong_engine_is_refused_now_and_remembered(
        self, device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
    ) -> None:
        module = make_fake_tensorrt(device, output_offset=0.02)
        with pytest.raises(BackendError, match=r"theta 0\.02 \(allowed 0\.005\)"):
            open_engine(module)
        side = json.loads(next((tmp_path / "engines").glob("*.json")).read_text())
        assert "theta" in side["refused"]
        with pytest.raises(BackendError, match="was refused when it was compared"):
            open_engine(module)
        assert module.builds == 1
        assert device.is_clean

    def test_two_builders_at_once_build_once(self, tmp_path: Path) -> None:
        key = EngineKey("a" * 64, "tensorrt", "10.3", "GPU", "8.9", "12.4", "fp32", None, None)
        started, release, builds = threading.Event(), threading.Event(), []

        def slow_build() -> BuiltEngine:
            builds.append(1)
            started.set()
            assert release.wait(30)
            return BuiltEngine(b"plan", 0, 1, 1.0, ())

        said: list[str] = []
        engines: list[Any] = []
        first = threading.Thread(target=lambda: engines.append(obtain_engine(key, slow_build, tmp_path)))
        first.start()
        assert started.wait(30)
        waiting = threading.Event()

        def say(line: str) -> None:
            said.append(line)
            waiting.set()

        second = threading.Thread(target=lambda: engines.append(obtain_engine(key, slow_build, tmp_path, say)))
        second.start()
        assert waiting.wait(30)
        release.set()
        first.join(30)
        second.join(30)
        assert builds == [1]
        assert [engine.plan for engine in engines] == [b"plan", b"plan"]
        assert said == ["another process builds this engine; waiting for it"]

    def test_a_cache_that_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        key = EngineKey("a" * 64, "tensorrt", "10.3", "GPU", "8.9", "12.4", "fp32", None, None)
        with pytest.raises(BackendError, match="LUNGSEV_CACHE"):
            obtain_engine(key, lambda: BuiltEngine(b"", 0, 0, 0.0, ()), tmp_path / "file")


class TestBuilder:
    def build(self, graph: bytes, **faults: Any) -> BuiltEngine:
        return build_engine(graph, library_of(make_fake_tensorrt(FakeDevice(), **faults)), BuildOptions())

    def test_fp32_is_fp32_and_not_tf32(self) -> None:
        module = make_fake_tensorrt(FakeDevice())
        build_engine(tiny_graph(), library_of(module), BuildOptions())
        assert module.flags == set()

    def test_out_of_memory_says_what_to_lower(self) -> None:
        with pytest.raises(BackendError, match=r"out of memory with a workspace of 1024 MiB.*--workspace"):
            self.build(tiny_graph(), build_error="Error Code 2: OutOfMemory (Requested size was 99)")

    def test_the_parser_s_reasons_are_passed_on(self) -> None:
        with pytest.raises(BackendError, match="does not read the graph: no plugin Telepathy"):
            self.build(tiny_graph(), parse_error="no plugin Telepathy")

    def test_an_opset_that_is_misread_is_refused(self) -> None:
        with pytest.raises(BackendError, match="opset 20"):
            self.build(changed(lambda model: setattr(model.opset_import[0], "version", 20)))

    def test_a_grid_sample_of_another_mode_is_refused(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            node = next(node for node in model.graph.node if node.op_type == "GridSample")
            next(attribute for attribute in node.attribute if attribute.name == "mode").s = b"nearest"

        with pytest.raises(BackendError, match="GridSample has mode 'nearest'"):
            self.build(changed(change))

    def test_a_grid_sample_in_half_precision_is_refused(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            node = next(node for node in model.graph.node if node.op_type == "GridSample")
            info = onnx.helper.make_tensor_value_info(node.input[1], onnx.TensorProto.FLOAT16, [1, 128, 128, 2])
            model.graph.value_info.append(info)

        with pytest.raises(BackendError, match=r"GridSample .* in half precision"):
            self.build(changed(change))

    def test_a_nan_weight_is_refused(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            weight = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
            values = np.full(weight.dims, np.nan, np.float32)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))

        with pytest.raises(BackendError, match="NaN"):
            self.build(changed(change))

    def test_an_engine_that_stayed_in_fp32_is_found_by_its_layers_and_by_its_weight(self) -> None:
        half = half_marked_graph()
        self.build(half)
        with pytest.raises(BackendError, match="layers in FP32 though the graph is half"):
            self.build(half, fp32_layers=True)
        with pytest.raises(BackendError, match="weighs"):
            self.build(half, heavy=64 << 20)


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(tiny_graph())
    change(model)
    return bytes(model.SerializeToString())


def half_marked_graph() -> bytes:
    """The tiny graph with one half-precision detour."""

    def change(model: onnx.ModelProto) -> None:
        last = model.graph.node[-1]
        last.output[0] = "before"
        for source, target, kind in (("before", "half", 10), ("half", "probabilities.brixia", 1)):
            model.graph.node.append(onnx.helper.make_node("Cast", [source], [target], name=target, to=kind))
        model.graph.value_info.append(onnx.helper.make_tensor_value_info("half", 10, [1, 6, 4]))

    return changed(change)


class TestCards:
    """TensorRT-RTX has kernels for some cards only; it builds on others and then refuses its own engine."""

    @pytest.fixture
    def rtx(self, device: FakeDevice) -> Any:
        module = make_fake_tensorrt(device, version="1.7.1")
        module.ComputeCapability = SimpleNamespace(__members__={"NONE": 0, "CURRENT": 1, "SM75": 75, "SM120": 120})
        return module

    def test_a_card_it_has_no_kernels_for_is_refused_before_a_build(
        self, tiny_bundle: Bundle, device: FakeDevice, rtx: Any, tmp_path: Path
    ) -> None:
        library = describe_library(rtx, "tensorrt_rtx")
        with pytest.raises(BackendError, match=r"does not run on Fake GPU \(compute capability .*expected 7\.5, 12\.0"):
            open_tensorrt(tiny_bundle, EngineRequest(cache_dir=tmp_path), library=library, open_device=bindings(device))
        assert rtx.builds == 0
        assert device.is_clean

    def test_why_a_plan_is_not_valid_here_is_said_in_words(self, rtx: Any, device: FakeDevice) -> None:
        rtx.EngineValidity = SimpleNamespace(INVALID=2)
        rtx.EngineInvalidityDiagnostics = SimpleNamespace(
            __members__={"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2, "MALFORMED_ENGINE": 32}
        )
        rtx.Runtime.get_engine_validity = lambda _self, plan: (2, 34 if plan else 0)
        library = describe_library(rtx, "tensorrt_rtx")
        for plan, words in ((b"foreign", "unsupported cc, malformed engine"), (b"", "it gives no reason")):
            with pytest.raises(BackendError, match=words):
                TensorRTBackend(plan, library, 512, "fp16", open_device=bindings(device))
        assert device.is_clean


class TestLibrary:
    def test_a_placeholder_from_pypi_is_recognised(self) -> None:
        with pytest.raises(BackendError, match="only a placeholder"):
            describe_library(SimpleNamespace(__version__="0.0.1"), "tensorrt")

    def test_a_library_without_named_tensors_is_too_old(self) -> None:
        module = make_fake_tensorrt(FakeDevice(), version="8.2.1")
        module.IExecutionContext = SimpleNamespace()
        with pytest.raises(BackendError, match=r"8\.2\.1 is too old.*JetPack 6\.1"):
            library_of(module)

    def test_strong_typing_is_told_by_attributes(self) -> None:
        module = make_fake_tensorrt(FakeDevice())
        assert library_of(module).strongly_typed
        module.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)
        assert not library_of(module).strongly_typed  # TensorRT 8
        module.BuilderFlag = SimpleNamespace()
        assert library_of(module).strongly_typed  # TensorRT 11

    def test_a_venv_on_a_jetson_is_told_how_to_see_the_system(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "python3.10" / "dist-packages" / "tensorrt").mkdir(parents=True)
        monkeypatch.setattr("sys.prefix", "/venv")
        assert "--system-site-packages" in missing_message(tmp_path / "none", tmp_path)

    def test_a_jetson_without_it_is_told_what_to_install(self, tmp_path: Path) -> None:
        (tmp_path / "nv_tegra_release").write_text("# R36")
        assert "python3-libnvinfer" in missing_message(tmp_path / "nv_tegra_release", tmp_path)

    def test_a_workstation_is_told_where_it_comes_from(self, tmp_path: Path) -> None:
        assert "tensorrt-rtx" in missing_message(tmp_path / "none", tmp_path)


class TestChoice:
    def test_a_machine_without_a_gpu_says_so_when_asked_for_tensorrt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "count_devices", lambda: 0)
        with pytest.raises(BackendError, match=r"no NVIDIA GPU.*onnxruntime"):
            engine.open_first_device()

    def test_auto_falls_back_aloud(
        self, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_bundle: Bundle) -> None:
            raise BackendError("the GPU is out of memory")

        monkeypatch.setattr(select, "find_spec", lambda _name: True)
        monkeypatch.setattr("lungsev.inference.tensorrt.cuda.count_devices", lambda: 1)
        monkeypatch.setattr(engine, "open_tensorrt", broken)
        with select.open_backend(tiny_bundle) as backend:
            assert backend.name == "onnxruntime"
        assert "running on the CPU instead: the GPU is out of memory" in caplog.text

    def test_auto_on_a_machine_without_a_gpu_is_quiet(
        self, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("lungsev.inference.tensorrt.cuda.count_devices", lambda: 0)
        with select.open_backend(tiny_bundle) as backend:
            assert backend.name == "onnxruntime"
        assert caplog.text == ""
