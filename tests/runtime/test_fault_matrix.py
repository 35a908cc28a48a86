"""`lungsev-run watch` on a machine whose GPU fails in every way known: each image is scored, once, and the reason told.

The command runs in a process of its own; only the GPU is a stand-in, in real device processes that really crash.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cuda_stub import compile_driver
from fake_gpu_child import FakeGpu
from faulty_watch import read_gpu, write_gpu

from lungsev.bundle.archive import Bundle
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.watcher.backend_status import read_backend
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.system import UNFINISHED_SUFFIX

TESTS = Path(__file__).resolve().parents[1]
GUARD_SECONDS = 180.0  # a guard against a hang, never what decides
PASSED = "passed the comparison"
CPU, GPU = "onnxruntime", "tensorrt"

pytestmark = pytest.mark.faults


class Ward:
    """A watched folder, its output folder, and an engine cache that may be shared with another."""

    def __init__(self, root: Path, bundle: Bundle, cache: Path) -> None:
        self.root, self.cache = root, cache
        self.incoming, self.out = root / "incoming", root / "out"
        self.incoming.mkdir(parents=True)
        self.sent = 0
        settings = {
            "model": {
                "bundle": str(bundle.path),
                "threads": 1,
                "allow_unsigned": True,
                "engine": {"cache": str(cache)},
            },
            "watch": {"scan_seconds": 0.1, "settle_seconds": 0, "min_free_mb": 0},
            "outputs": ["json"],
        }
        (root / "bedside.yaml").write_text(yaml.safe_dump(settings))

    @contextmanager
    def watching(self, gpu: FakeGpu | None, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """The command with further variables, until the block ends or somebody kills it."""
        machine = write_gpu(gpu, self.root / "gpu.json")
        words = ["watch", str(self.incoming), "--out", str(self.out), "--config", str(self.root / "bedside.yaml")]
        with (self.root / "console").open("ab") as console:
            command = [sys.executable, str(TESTS / "faulty_watch.py"), str(machine), *words]
            process = subprocess.Popen(
                command, stdout=console, stderr=console, env={**os.environ, "OMP_NUM_THREADS": "1", **variables}
            )
        try:
            yield process
            if process.poll() is None:
                process.terminate()
                assert process.wait(GUARD_SECONDS) == 0, self.console
        finally:
            process.kill()
            process.wait()

    @property
    def console(self) -> str:
        return (self.root / "console").read_text()

    def send(self, images: int = 2) -> None:
        for _ in range(images):
            self.sent += 1
            unfinished = self.root / "image"
            write_phantom_dicom(make_phantom(self.sent, size_px=128), unfinished)
            unfinished.rename(self.incoming / f"{self.sent}.dcm")

    def wait_for(self, met: Callable[[], object]) -> None:
        deadline = time.monotonic() + GUARD_SECONDS
        while not met():
            assert time.monotonic() < deadline, f"{read_backend(self.out)} {self.console}"
            time.sleep(0.05)

    def wait_for_status(self, *parts: str) -> None:
        """Until the board says it."""
        self.wait_for(lambda: all(part in read_backend(self.out)[0] for part in parts))

    def wait_for_reports(self) -> None:
        self.wait_for(lambda: len(list((self.out / "reports").glob("*.json"))) >= self.sent)

    def reports(self) -> list[dict[str, Any]]:
        """Of all images, after a check that each has one and lost no attempt."""
        paths = sorted((self.out / "reports").glob("*.json"))
        reports = [json.loads(path.read_text()) for path in paths]
        assert len({report["image"]["sop_instance_uid"] for report in reports}) == len(reports) == self.sent
        assert {report["status"] for report in reports} <= {"scored", "skipped"}
        ledger = Ledger.open(self.out / "ledger.sqlite")
        rows = [ledger.image(path.stem) for path in paths]
        ledger.close()
        assert [row.attempts for row in rows if row is not None] == [1] * self.sent
        return reports


@pytest.fixture
def ward(tmp_path: Path, tiny_bundle: Bundle) -> Ward:
    return Ward(tmp_path / "ward", tiny_bundle, tmp_path / "engines")


@pytest.fixture
def gpu(tmp_path: Path) -> FakeGpu:
    (tmp_path / "events").mkdir()
    return FakeGpu(tmp_path / "events")


def build_engine(ward: Ward, gpu: FakeGpu) -> Path:
    """The engine of an earlier night."""
    with ward.watching(gpu):
        ward.wait_for_status(GPU, PASSED)
    return next(ward.cache.glob("*.plan"))


@pytest.mark.parametrize(
    ("how", "reason"),
    [("segfault", "SIGSEGV"), ("killed", "SIGKILL"), ("illegal access", "CUDA error 700"), ("nullptr", "nullptr")],
)
def test_a_gpu_that_fails_on_an_image_is_replaced_by_the_cpu_and_the_reason_told(
    ward: Ward, gpu: FakeGpu, how: str, reason: str
) -> None:
    build_engine(ward, gpu)
    with ward.watching(gpu.with_fault("run", how, after=3)):  # the first run is the model's own probe
        ward.wait_for_status(GPU, PASSED)
        ward.send(4)
        ward.wait_for_reports()
    told = [(report["model"]["backend"], report["model"]["reason"]) for report in ward.reports()]
    assert any(backend == CPU and reason in why for backend, why in told), told
    assert all(PASSED in why for backend, why in told if backend == GPU)
    assert reason in ward.console


@pytest.mark.parametrize(
    ("where", "how", "reason"),
    [
        ("probe", "segfault", "SIGSEGV"),
        ("builder", "nullptr", "gives no builder"),
        ("build", "segfault", "SIGSEGV while building"),
        ("build", "killed", "SIGKILL"),
        ("compare", "killed", "SIGKILL while comparing"),
    ],
)
def test_a_build_that_dies_leaves_the_cpu_scoring_and_is_not_repeated_for_ever(
    ward: Ward, gpu: FakeGpu, where: str, how: str, reason: str
) -> None:
    broken = gpu.with_fault(where, how)
    for _ in range(2):  # the service is started again
        with ward.watching(broken):
            ward.send()
            ward.wait_for_status(CPU, reason)
            ward.send()
            ward.wait_for_reports()
            if where != "probe":  # which is looked for again, with pauses
                ward.wait_for_status("tried 2 times")
    assert {report["model"]["backend"] for report in ward.reports()} == {CPU}
    if where != "probe":
        assert gpu.count(f"{where} {how}") == 2


def test_images_are_scored_while_a_build_takes_its_time_and_the_log_says_how_far_it_is(
    ward: Ward, gpu: FakeGpu
) -> None:
    with ward.watching(gpu.with_fault("compare", "hang")):
        ward.wait_for_status(CPU, "is being compared")
        ward.send(3)
        ward.wait_for_reports()
    assert {report["model"]["backend"] for report in ward.reports()} == {CPU}
    log = "".join(path.read_text() for path in (ward.out / "log").iterdir() if path.is_file())
    lines = ("building an engine for Fake GPU", "building the TensorRT engine: 0% (Building 0%)", "engine built in ")
    places = [log.index(line) for line in lines]
    assert places == sorted(places)


@pytest.mark.parametrize("damage", ["corrupt", "foreign", "foreign that crashes"])
def test_a_plan_that_is_corrupt_or_foreign_is_built_again(ward: Ward, gpu: FakeGpu, damage: str) -> None:
    plan = build_engine(ward, gpu)
    if damage == "corrupt":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif damage == "foreign":
        side = plan.with_suffix(".json")
        side.write_text(side.read_text().replace("Fake GPU", "Other GPU"))
    machine = gpu.with_fault("load", "segfault", times=2) if damage == "foreign that crashes" else gpu
    with ward.watching(machine):
        ward.send()
        ward.wait_for_status(GPU, PASSED)
        ward.send()
        ward.wait_for_reports()
    assert ward.reports()[-1]["model"]["reason"]
    assert gpu.count("builds") == 2


def test_an_engine_of_a_read_only_cache_is_used_and_one_that_is_missing_is_told(ward: Ward, gpu: FakeGpu) -> None:
    read_only = replace(gpu, read_only=True)
    with ward.watching(read_only):
        ward.send()
        ward.wait_for_status(CPU, "cannot be written", "Read-only file system")
        ward.wait_for_reports()
    build_engine(ward, gpu)
    with ward.watching(read_only):
        ward.wait_for_status(GPU, PASSED)
        ward.send()
        ward.wait_for_reports()
    assert sorted(report["model"]["backend"] for report in ward.reports()) == [CPU, CPU, GPU, GPU]


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ({"devices": 0}, "check the driver"),
        ({"cuda_errors": {"cuInit": 35}}, "older than this CUDA needs"),
        ({"import_error": "tensorrt cannot be loaded (libnvinfer.so.10: cannot open)"}, "libnvinfer.so.10"),
        ({"cuda_errors": {"cuMemAlloc": 2}}, "out of memory"),
    ],
    ids=["no driver", "driver too old", "bindings without libraries", "no memory"],
)
def test_a_gpu_that_cannot_be_used_leaves_the_cpu_and_its_reason(
    ward: Ward, gpu: FakeGpu, machine: dict[str, Any], reason: str
) -> None:
    with ward.watching(replace(gpu, **machine)):
        ward.wait_for_status(CPU, reason)
        ward.send(3)
        ward.wait_for_reports()
    for report in ward.reports():
        assert report["model"]["backend"] == CPU
        assert reason in report["model"]["reason"]


def test_two_builders_build_once(ward: Ward, gpu: FakeGpu, tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = Ward(tmp_path / "other", tiny_bundle, ward.cache)
    with ward.watching(gpu), other.watching(gpu):
        for each in (ward, other):
            each.send()
            each.wait_for_status(GPU, PASSED)
            each.wait_for_reports()
    assert len(ward.reports()) == len(other.reports()) == 2
    assert gpu.count("builds") == 1


def test_a_power_cut_in_a_build_or_while_its_plan_is_written_costs_a_build_and_no_image(
    ward: Ward, gpu: FakeGpu
) -> None:
    with ward.watching(gpu.with_fault("build", "hang")) as process:
        ward.send()
        ward.wait_for(lambda: gpu.count("builds"))
        ward.wait_for_reports()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    plan = build_engine(ward, gpu)
    plan.write_bytes(plan.read_bytes()[:100])  # the second cut: the side file is of the whole plan
    (ward.cache / f"{plan.name}.0{UNFINISHED_SUFFIX}").write_bytes(b"half a plan")
    with ward.watching(gpu):
        ward.wait_for_status(GPU, PASSED)
        ward.send()
        ward.wait_for_reports()
    backends = [report["model"]["backend"] for report in ward.reports()]
    assert sorted(backends) == [CPU, CPU, GPU, GPU]
    assert gpu.count("builds") == 3


def test_the_real_tensorrt_rtx_without_a_real_driver_builds_twice_and_leaves_the_cpu(
    ward: Ward, tmp_path: Path
) -> None:
    """Real device processes, TensorRT-RTX and cuda-bindings, over a CUDA driver on host memory that runs no engine."""
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13", exc_type=ImportError)
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings are not installed", exc_type=ImportError)
    compile_driver(tmp_path)
    for _ in range(2):  # of two starts the second builds nothing
        with ward.watching(None, LD_LIBRARY_PATH=str(tmp_path)):
            ward.send()
            ward.wait_for_reports()
            ward.wait_for_status(CPU, "tried 2 times", "does not run this engine here")
        assert ward.console.count("engine built in") == 2
    assert {report["model"]["backend"] for report in ward.reports()} == {CPU}
    assert "building the TensorRT engine: 0% (Building engine 0%)" in ward.console


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1.11", "11.4.0.106"])
def test_the_real_bindings_without_their_libraries_are_told(ward: Ward, tmp_path: Path, version: str) -> None:
    """As where the libraries of a wheel or of JetPack are gone, or of another version."""
    bindings = TESTS.parent / ".venv" / "tensorrt-bindings" / f"{version}-cp{sys.version_info[0]}{sys.version_info[1]}"
    if not bindings.is_dir():
        pytest.skip("TensorRT's bindings were not fetched")
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings are not installed", exc_type=ImportError)
    compile_driver(tmp_path)
    for name, text in (
        ("tensorrt", "from tensorrt_bindings import *"),
        ("tensorrt_rtx", "raise ModuleNotFoundError(name=__name__)"),
    ):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(text)
    packages = os.pathsep.join([str(tmp_path / "packages"), str(bindings), *filter(None, sys.path)])
    with ward.watching(None, LD_LIBRARY_PATH=str(tmp_path), PYTHONPATH=packages):
        ward.wait_for_status(CPU, "tensorrt is installed but cannot be loaded (lib", "cannot open shared object file")
        ward.send()
        ward.wait_for_reports()
    assert all("cannot be loaded (lib" in report["model"]["reason"] for report in ward.reports())


def test_the_machine_of_a_test_is_the_machine_of_its_process(gpu: FakeGpu, tmp_path: Path) -> None:
    machine = replace(gpu.with_fault("build", "killed", times=2), devices=3, cuda_errors={"cuInit": 35})
    assert read_gpu(write_gpu(machine, tmp_path / "gpu.json")) == machine
    assert read_gpu(write_gpu(None, tmp_path / "gpu.json")) is None
