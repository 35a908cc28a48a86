"""Engines are built once, and again when anything they depend on changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_cuda import FakeDevice
from fake_tensorrt import make_fake_tensorrt

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.build import BuiltEngine
from lungsev.inference.tensorrt.cache import EngineKey, obtain_engine


def test_the_second_start_builds_nothing_and_compares_nothing(
    device: FakeDevice, open_engine: Callable[..., Any]
) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    assert any("0 of 60 grades changed" in line for line in open_engine.said)  # type: ignore[attr-defined]
    open_engine.said.clear()  # type: ignore[attr-defined]
    open_engine(module).close()
    assert module.builds == 1
    assert open_engine.said == []  # type: ignore[attr-defined]


def test_a_new_driver_builds_again_and_names_both(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    device.driver = 13000
    open_engine(module).close()
    assert module.builds == 2
    assert any("driver: found '12.4', expected '13.0'" in line for line in open_engine.said)  # type: ignore[attr-defined]


def test_an_engine_built_by_other_rules_is_built_again(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
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


def test_an_engine_of_another_device_is_not_loaded(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    device.name = "Other GPU"
    open_engine(module).close()
    assert any("device: found 'Fake GPU', expected 'Other GPU'" in line for line in open_engine.said)  # type: ignore[attr-defined]


def test_a_truncated_plan_is_built_again(device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    plan = next((tmp_path / "engines").glob("*.plan"))
    plan.write_bytes(plan.read_bytes()[:1000])
    open_engine(module).close()
    assert module.builds == 2
    assert any("checksum differs" in line for line in open_engine.said)  # type: ignore[attr-defined]


def test_a_damaged_side_file_is_built_again(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    next((tmp_path / "engines").glob("*.json")).write_text("[1, 2")
    open_engine(module).close()
    assert module.builds == 2


def test_a_plan_that_does_not_load_is_built_again_once_and_then_refused(
    device: FakeDevice, open_engine: Callable[..., Any]
) -> None:
    module = make_fake_tensorrt(device, refuse_plans=True)
    with pytest.raises(BackendError, match="damaged, or was built for another version or device"):
        open_engine(module)
    assert module.builds == 2
    assert device.is_clean


def test_a_wrong_engine_is_refused_now_and_remembered(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
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


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
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


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    key = EngineKey("a" * 64, "tensorrt", "10.3", "GPU", "8.9", "12.4", "fp32", None, None)
    with pytest.raises(BackendError, match="LUNGSEV_CACHE"):
        obtain_engine(key, lambda: BuiltEngine(b"", 0, 0, 0.0, ()), tmp_path / "file")
