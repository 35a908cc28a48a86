"""A device process of its own interpreter: what NVIDIA's library does there harms nothing here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_gpu_child import FakeGpu, make_gpu, preload, use_gpu

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt.device_client import (
    Listener,
    prepare_in_child,
    probe_device,
)
from lungsev.inference.tensorrt.library import FLAVOURS
from lungsev.inference.tensorrt.settings import EngineSettings

preload()


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return make_gpu(tmp_path, monkeypatch)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV while looking for the GPU"),
        ("import ctypes; ctypes.CDLL('libnvinfer.so.99')", "installed but cannot be loaded .*libnvinfer.so.99"),
    ],
)
def test_a_library_that_crashes_or_lacks_its_libraries_when_it_is_imported_is_told(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, reason: str
) -> None:
    for name in FLAVOURS:
        (tmp_path / f"{name}.py").write_text(module)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(BackendError, match=reason):
        probe_device(tiny_bundle, EngineSettings(cache=tmp_path))


def test_a_probe_tells_the_device_and_its_engine(tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path) -> None:
    settings = EngineSettings(cache=tmp_path)
    facts = probe_device(tiny_bundle, settings)
    assert facts["device"] == "Fake GPU"
    assert (facts["capability"], facts["driver"], facts["library"], facts["version"]) == (
        "8.9", "12.4", "tensorrt", "10.3.0",
    )  # fmt: skip
    assert facts["engine"] is None
    assert "none is cached yet" in facts["reason"]
    prepare_in_child(tiny_bundle, settings)
    assert probe_device(tiny_bundle, settings)["engine"].endswith(".plan")


def test_what_a_build_says_is_heard(tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path) -> None:
    said: list[str] = []
    done: list[tuple[str, float]] = []
    listener = Listener(said.append, lambda phase, share: done.append((phase, share)))
    engine = prepare_in_child(tiny_bundle, EngineSettings(cache=tmp_path), listener)
    assert [line.split()[0] for line in said] == ["building", "engine", "comparing", "TensorRT"]
    assert done
    assert Path(engine["engine"]).is_file()
    assert engine["parity"]["changed_grades"] == 0


@pytest.mark.faults
def test_the_user_may_try_again_what_was_given_up(
    tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EngineSettings(cache=tmp_path)
    use_gpu(gpu.with_fault("build", "killed", times=3), monkeypatch)
    for reason in ("SIGKILL", "SIGKILL", "tried 2 times"):
        with pytest.raises(BackendError, match=reason):
            prepare_in_child(tiny_bundle, settings)
    assert "tried 2 times" in probe_device(tiny_bundle, settings)["reason"]
    with pytest.raises(BackendError, match="SIGKILL"):
        prepare_in_child(tiny_bundle, settings, asked=True)
    prepare_in_child(tiny_bundle, settings)
    assert not list(tmp_path.glob("*.attempts.json"))


def test_an_interrupted_build_ends_at_once_and_does_not_count(
    tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(gpu.with_fault("build", "hang"), monkeypatch)

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt  # as Ctrl-C does, while it waits

    with pytest.raises(KeyboardInterrupt):
        prepare_in_child(tiny_bundle, EngineSettings(cache=tmp_path), Listener(interrupt))
    assert not list(tmp_path.glob("*.attempts.json"))


def test_a_bundle_that_was_replaced_meanwhile_is_not_used(tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(BackendError, match="was replaced meanwhile"):
        probe_device(replace(tiny_bundle, sha256="0" * 64), EngineSettings(cache=tmp_path))
