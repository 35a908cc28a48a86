"""Whatever the GPU does, images are scored, each once, and the status says by what and why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu_child import FakeGpu, preload, use_gpu

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.status import BackendStatus
from lungsev.inference.tensorrt import device_backend, supervisor
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.inference.tensorrt.supervisor import SupervisedBackend

FAULTS = pytest.mark.faults  # the others of a kind, of which one runs in every test run

preload()


def also(*values: str) -> list[Any]:
    """Further values of a parameter, for `make test-faults`."""
    return [pytest.param(value, marks=FAULTS) for value in values]


class CountingCpu(OnnxRuntimeBackend):
    """The CPU; an output that is a constant tells which image it was given."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, threads=1)
        self.images = 0

    def infer(self, image: Any) -> Any:
        self.images += 1
        return super().infer(image)


class Bench:
    """A supervised backend on a fake GPU, with everything its status said."""

    def __init__(self, bundle: Bundle, gpu: FakeGpu, settings: EngineSettings, build: bool) -> None:
        self.said: list[BackendStatus] = []
        self._news = threading.Condition()
        self.cpu = CountingCpu(bundle)
        self.backend = SupervisedBackend(bundle, self.cpu, settings, build, self._hear, first_pause_seconds=0.01)

    def _hear(self, status: BackendStatus) -> None:
        with self._news:
            self.said.append(status)
            self._news.notify_all()

    def wait_for(self, state: str, reason: str = "", times: int = 1) -> BackendStatus:
        """Wait until it was said so often."""

        def found() -> list[BackendStatus]:
            return [status for status in self.said if status.state == state and reason in status.reason]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= times, 60), [str(status) for status in self.said]
            return found()[times - 1]

    def score(self, images: int = 1) -> list[str]:
        """Score images and check their numbers; return by what each was scored."""
        by = []
        for seed in range(images):
            image = np.random.default_rng(seed).random((1, 1, 512, 512), dtype=np.float32)
            found = self.backend.infer(image)
            expected = OnnxRuntimeBackend.infer(self.cpu, image)
            np.testing.assert_allclose(found["theta"], expected["theta"], atol=1e-5)
            by.append(self.backend.name)
        return by


@pytest.fixture
def gpu(tmp_path: Path) -> FakeGpu:
    folder = tmp_path / "events"
    folder.mkdir()
    return FakeGpu(folder)


Open = Callable[..., Bench]


@pytest.fixture
def open_bench(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    opened: list[Bench] = []

    def open_it(gpu: FakeGpu, build: bool = True, **settings: Any) -> Bench:
        use_gpu(gpu, monkeypatch)
        chosen = EngineSettings(**{"cache": tmp_path / "engines", **settings})
        opened.append(Bench(tiny_bundle, gpu, chosen, build))
        return opened[-1]

    yield open_it
    for bench in opened:
        bench.backend.close()


def test_the_cpu_scores_until_the_engine_is_ready_and_the_change_is_announced(
    gpu: FakeGpu, open_bench: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lungsev.tensorrt")
    bench = open_bench(gpu)
    assert bench.score() in (["onnxruntime"], ["tensorrt"])
    ready = bench.wait_for("ready")
    assert bench.score(3) == ["tensorrt"] * 3
    assert bench.backend.reason == ready.reason
    with pytest.raises(BackendError, match="takes float32"):  # which is not the device's fault
        bench.backend.infer(np.zeros((1, 1, 8, 8), np.float32))
    assert bench.score() == ["tensorrt"]
    assert str(ready) == "tensorrt fp32 on Fake GPU: its engine passed the comparison with the FP32 graph"
    states = [status.state for status in bench.said]
    assert sorted(set(states), key=states.index) == ["starting", "building", "comparing", "ready"]
    told = [record.getMessage() for record in caplog.records]
    lines = ("building an engine for Fake GPU", "building the TensorRT engine: 0% (Building 0%)", "engine built in ")
    begun, building, built = (next(i for i, line in enumerate(told) if line.startswith(text)) for text in lines)
    assert begun < building < built
    assert "TensorRT fp32 on Fake GPU is used from now on" in told[built:]
    assert (gpu.count("builds"), bench.backend.status.failures) == (1, 0)


def test_of_a_long_build_what_is_new_is_in_the_log_and_every_step_in_the_status(
    gpu: FakeGpu, open_bench: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lungsev.tensorrt")
    bench = open_bench(gpu.with_fault("build", "hang"))
    bench.wait_for("building")
    for percent in range(33, 52):
        bench.backend._show("tactics 30%", percent / 100)
    bench.backend._show("tactics 40%", 0.51)
    lines = [line for line in (record.getMessage() for record in caplog.records) if "(tactics" in line]
    told = ("33% (tactics 30%)", "40% (tactics 30%)", "50% (tactics 30%)", "51% (tactics 40%)")
    assert lines == [f"building the TensorRT engine: {line}" for line in told]
    assert str(bench.backend.status).endswith("(51%, tactics 40%)")


def test_nothing_waits_for_a_build_and_closing_cancels_it_without_counting(
    gpu: FakeGpu, open_bench: Open, tmp_path: Path
) -> None:
    bench = open_bench(gpu.with_fault("build", "hang"))
    bench.wait_for("building")
    assert bench.score(2) == ["onnxruntime"] * 2
    while gpu.count("builds") < 1:
        pass
    bench.backend.close()
    assert not list((tmp_path / "engines").glob("*.attempts.json"))


@pytest.mark.parametrize("how", ["segfault", *also("killed", "illegal access", "nullptr", "nan")])
def test_a_device_that_fails_on_an_image_costs_it_nothing_and_is_tried_again(
    gpu: FakeGpu, open_bench: Open, how: str
) -> None:
    bench = open_bench(gpu.with_fault("run", how, times=1, after=1))
    bench.wait_for("ready")
    assert bench.score() == ["tensorrt"]
    before = bench.cpu.images
    assert bench.score() == ["onnxruntime"]
    assert bench.cpu.images == before + 1  # once
    failed = bench.wait_for("failed")
    expected = {
        "segfault": "was ended by SIGSEGV while scoring an image",
        "killed": "was ended by SIGKILL while scoring an image",
        "illegal access": "CUDA error 700",
        "nullptr": "factory function returned nullptr",
        "nan": "NaN",
    }[how]
    assert expected in failed.reason
    assert failed.failures == 1
    bench.wait_for("ready", times=2)
    assert bench.score() == ["tensorrt"]
    assert gpu.count("builds") == 1


@FAULTS
def test_a_device_that_hangs_on_an_image_is_killed(
    gpu: FakeGpu, open_bench: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(gpu.with_fault("run", "hang", times=1))
    bench.wait_for("ready")
    monkeypatch.setattr(device_backend, "INFER_SECONDS", 0.2)
    assert bench.score() == ["onnxruntime"]
    assert "hung while scoring an image, and was killed" in bench.wait_for("failed").reason
    bench.wait_for("ready", times=2)


@pytest.mark.parametrize(
    ("where", "how", "reason"),
    [
        ("build", "segfault", "SIGSEGV while building the engine"),
        pytest.param("build", "killed", "SIGKILL while building the engine", marks=FAULTS),
        pytest.param("builder", "nullptr", "gives no builder", marks=FAULTS),
        pytest.param("load", "segfault", "SIGSEGV while comparing the engine", marks=FAULTS),
        pytest.param("compare", "killed", "SIGKILL while comparing the engine", marks=FAULTS),
    ],
)
def test_an_attempt_that_dies_is_made_twice_over_all_starts_and_the_reason_kept(
    gpu: FakeGpu, open_bench: Open, where: str, how: str, reason: str
) -> None:
    broken = gpu.with_fault(where, how)
    for _ in range(3):  # as a service that is started again and again
        bench = open_bench(broken)
        given_up = bench.wait_for("unavailable", "tried 2 times")
        assert reason in given_up.reason
        assert "lungsev-run engine" in given_up.reason
        assert bench.score(2) == ["onnxruntime"] * 2
        bench.backend.close()
    assert gpu.count(f"{where} {how}") == 2
    other = open_bench(gpu, workspace_mib=64)  # a change of options, and what was wrong is gone
    other.wait_for("ready")


@FAULTS
def test_a_build_that_takes_too_long_is_stopped(gpu: FakeGpu, open_bench: Open) -> None:
    bench = open_bench(gpu.with_fault("build", "hang"), build_minutes=1 / 60)
    assert "was killed" in bench.wait_for("failed", "hung while").reason
    assert bench.score() == ["onnxruntime"]


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ({"devices": 0}, "shows no NVIDIA GPU; check the driver"),
        pytest.param(
            {"import_error": "tensorrt cannot be loaded (libnvinfer.so.10)"}, "libnvinfer.so.10", marks=FAULTS
        ),
        pytest.param({"cuda_errors": {"cuInit": 35}}, "older than this CUDA needs; update it", marks=FAULTS),
        pytest.param({"cuda_errors": {"cuMemAlloc": 2}}, "out of memory", marks=FAULTS),
    ],
)
def test_a_gpu_that_cannot_be_used_leaves_the_cpu_and_its_reason(
    gpu: FakeGpu, open_bench: Open, machine: dict[str, Any], reason: str
) -> None:
    bench = open_bench(FakeGpu(gpu.folder, **machine))
    assert reason in bench.wait_for("failed").reason
    assert bench.backend.wait_until_settled().is_degraded
    assert bench.score(2) == ["onnxruntime"] * 2


@FAULTS
def test_a_driver_that_crashes_when_it_is_asked_harms_only_its_child(gpu: FakeGpu, open_bench: Open) -> None:
    bench = open_bench(gpu.with_fault("probe", "segfault"))
    assert "SIGSEGV while looking for the GPU" in bench.wait_for("failed").reason
    assert bench.score() == ["onnxruntime"]


@FAULTS
def test_without_a_build_an_engine_that_was_built_before_is_used_and_none_is_said(
    gpu: FakeGpu, open_bench: Open
) -> None:
    bench = open_bench(gpu, build=False)
    assert "lungsev-run engine builds it" in bench.wait_for("unavailable").reason
    bench.backend.close()
    open_bench(gpu, workspace_mib=256).wait_for("ready")
    open_bench(gpu, build=False).wait_for("ready")
    assert gpu.count("builds") == 1


@FAULTS
@pytest.mark.parametrize("damage", ["corrupt", "foreign"])
def test_a_plan_that_is_damaged_or_foreign_is_built_again(
    gpu: FakeGpu, open_bench: Open, tmp_path: Path, damage: str
) -> None:
    bench = open_bench(gpu)
    bench.wait_for("ready")
    bench.backend.close()
    plan = next((tmp_path / "engines").glob("*.plan"))
    if damage == "corrupt":
        plan.write_bytes(plan.read_bytes()[:-1])
    else:
        side = plan.with_suffix(".json")
        side.write_text(side.read_text().replace("Fake GPU", "Other GPU"))
    again = open_bench(gpu)
    again.wait_for("ready")
    assert again.score() == ["tensorrt"]
    assert gpu.count("builds") == 2


@FAULTS
def test_an_engine_that_crashes_when_it_is_loaded_is_built_again(gpu: FakeGpu, open_bench: Open) -> None:
    bench = open_bench(gpu)
    bench.wait_for("ready")
    bench.backend.close()
    again = open_bench(gpu.with_fault("load", "segfault", times=2))
    again.wait_for("failed", "SIGSEGV while loading the engine")
    again.wait_for("ready")
    assert gpu.count("builds") == 2


@FAULTS
def test_an_engine_that_differs_is_refused_once_and_not_built_again(gpu: FakeGpu, open_bench: Open) -> None:
    wrong = FakeGpu(gpu.folder, library={"output_offset": 0.02})
    for _ in range(2):
        bench = open_bench(wrong)
        assert "theta" in bench.wait_for("unavailable", times=4).reason
        assert bench.score() == ["onnxruntime"]
        bench.backend.close()
    assert gpu.count("builds") == 1


@FAULTS
def test_a_device_without_memory_builds_nothing_again(gpu: FakeGpu, open_bench: Open) -> None:
    bench = open_bench(gpu)
    bench.wait_for("ready")
    bench.backend.close()
    full = open_bench(FakeGpu(gpu.folder, cuda_errors={"cuMemAlloc": 2}))
    full.wait_for("failed", "out of memory", times=4)
    assert gpu.count("builds") == 1


@FAULTS
def test_two_services_at_once_build_once(gpu: FakeGpu, open_bench: Open) -> None:
    first, second = open_bench(gpu), open_bench(gpu)
    first.wait_for("ready")
    second.wait_for("ready")
    assert gpu.count("builds") == 1


@FAULTS
def test_an_engine_of_a_read_only_cache_that_was_never_compared_is_compared_and_used(
    gpu: FakeGpu, open_bench: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_bench(gpu)
    bench.wait_for("ready")
    bench.backend.close()
    side = next((tmp_path / "engines").glob("*.json"))
    text = side.read_text()
    side.write_text(text.replace('"parity": {', '"parity": null, "was": {'))
    forbidden = FakeGpu(gpu.folder, read_only=True)
    open_bench(forbidden).wait_for("ready")
    assert gpu.count("builds") == 1
    assert '"parity": null' in side.read_text()


def test_pauses_double_up_to_an_hour() -> None:
    assert [supervisor.pause_seconds(row, 5.0) for row in (1, 2, 3, 12, 500)] == [5.0, 10.0, 20.0, 3600.0, 3600.0]
