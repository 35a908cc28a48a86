"""Engines are built and compared once, and again when anything they depend on changes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_cuda import FakeDevice
from fake_tensorrt import library_of, make_fake_tensorrt

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt import cache, prepare
from lungsev.inference.tensorrt.attempts import EngineGivenUpError
from lungsev.inference.tensorrt.build import HalfRefusedError
from lungsev.inference.tensorrt.engine import EngineRefusedError
from lungsev.inference.tensorrt.prepare import build_ahead_of_time


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
    """A plan that was just built is not built again at once: the next one would not load either."""
    module = make_fake_tensorrt(device, refuse_plans=True)
    for builds, message in ((1, "was built for another version"), (2, "was built for another"), (2, "tried 2 times")):
        with pytest.raises(BackendError, match=message):
            open_engine(module)
        assert module.builds == builds
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


def test_a_read_only_cache_is_read_without_a_lock(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    _forbid_writing(monkeypatch)
    open_engine.said.clear()  # type: ignore[attr-defined]
    open_engine(module).close()
    assert module.builds == 1
    assert open_engine.said == []  # type: ignore[attr-defined]


def test_an_engine_in_a_read_only_cache_is_compared_at_every_start(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    side = next((tmp_path / "engines").glob("*.json"))
    side.write_text(json.dumps({**json.loads(side.read_text()), "parity": None}))
    before = side.read_text()
    _forbid_writing(monkeypatch)
    open_engine(module).close()
    assert module.builds == 1
    assert any("compared again at every start" in line for line in open_engine.said)  # type: ignore[attr-defined]
    assert side.read_text() == before


def test_a_build_into_a_read_only_cache_is_refused_before_it_begins(
    device: FakeDevice, open_engine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make_fake_tensorrt(device)
    _forbid_writing(monkeypatch)
    with pytest.raises(BackendError, match=r"cannot be written: Read-only file system.*model\.engine\.cache"):
        open_engine(module)
    assert module.builds == 0


def _forbid_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only file system, for root as well."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(prepare.os, "access", lambda _path, mode: not mode & os.W_OK)
    monkeypatch.setattr(cache, "write_atomically", refuse)
    monkeypatch.setattr(cache, "_locked", refuse)


@pytest.mark.parametrize(("chosen", "found"), [({"workspace_mib": 256}, {}), ({"level": 2}, {})])
def test_an_engine_built_with_a_choice_serves_where_none_is_made(
    device: FakeDevice, open_engine: Callable[..., Any], chosen: dict[str, int], found: dict[str, int]
) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module, **chosen).close()
    open_engine(module, **found).close()
    assert module.builds == 1


def test_another_choice_builds_again(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module, workspace_mib=256).close()
    open_engine(module, workspace_mib=512).close()
    assert module.builds == 2
    assert any("workspace_mib: found 256, expected 512" in line for line in open_engine.said)  # type: ignore[attr-defined]


def test_an_engine_built_ahead_of_time_serves_every_device_of_its_capability_and_is_compared_there(
    tiny_bundle: Bundle, device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
) -> None:
    module = make_fake_tensorrt(device)
    folder = tmp_path / "engines"
    ahead = make_fake_tensorrt(device)
    ahead.ComputeCapability = SimpleNamespace(__members__={"SM89": 89}, SM89=89)
    build_ahead_of_time(tiny_bundle, "8.9", folder, library=library_of(ahead, "tensorrt_rtx"))
    for path in folder.glob("*-tensorrt_rtx-*"):  # as if the stand-in's own flavour had built it
        text = path.read_bytes().replace(b'"tensorrt_rtx"', b'"tensorrt"')
        path.with_name(path.name.replace("tensorrt_rtx", "tensorrt")).write_bytes(text)
    for name in ("Fake GPU", "Other GPU"):
        device.name = name
        open_engine(module).close()
        side = json.loads(next(folder.glob("*-tensorrt-*.json")).read_text())
        assert side["compared_on"] == f"{name}, driver 12.4"
        assert side["key"]["device"] == "any"
    assert module.builds == 0


def test_what_a_build_measured_makes_the_next_one_shorter(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path
) -> None:
    module = make_fake_tensorrt(device)
    open_engine(module).close()
    assert module.timings == b""
    open_engine(module, fresh=True).close()
    assert module.timings == b"measured 1"
    assert next((tmp_path / "engines").glob("*.timing")).name == "tensorrt-10.3.0-sm8.9.timing"


def test_an_engine_that_kept_fp32_is_refused_by_its_own_layers(
    device: FakeDevice, open_engine: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [{"LayerType": "gemm", "Inputs": [{"Datatype": kind}]} for kind in ("Half", "Float", "Float")]
    module = make_fake_tensorrt(device, layers=layers)
    open_engine(module).close()
    side = json.loads(next((tmp_path / "engines").glob("*.json")).read_text())
    assert (side["half_layers"], side["layers"]) == (1, 3)

    def refuse(_graph: bytes, half_layers: int, layers: int, _library: object) -> None:
        raise HalfRefusedError(f"kept {layers - half_layers} of {layers}")

    monkeypatch.setattr(prepare, "require_half", refuse)
    with pytest.raises(EngineRefusedError, match="kept 2 of 3"):
        open_engine(module, fresh=True)
    with pytest.raises(EngineRefusedError, match="was refused when it was compared: kept 2 of 3"):
        open_engine(module)
    assert device.is_clean


def test_a_build_that_fails_is_not_tried_for_ever(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    module = make_fake_tensorrt(device, build_error="no kernel")
    for _ in range(2):
        with pytest.raises(BackendError, match="could not build the engine: no kernel"):
            open_engine(module)
    with pytest.raises(EngineGivenUpError, match=r"tried 2 times.*no kernel"):
        open_engine(module)
    assert module.builds == 2
    with pytest.raises(BackendError, match="could not build"):
        open_engine(module, workspace_mib=256)  # other settings are another engine
    with pytest.raises(BackendError, match="builds only for the device it runs on"):
        open_engine(module, capability="8.9")


def test_each_attempt_that_failed_leaves_the_builder_half_the_memory(
    device: FakeDevice, open_engine: Callable[..., Any]
) -> None:
    module = make_fake_tensorrt(device, build_error="no kernel")
    found = []
    for _ in range(2):
        with pytest.raises(BackendError):
            open_engine(module)
        found.append(module.workspace >> 20)
    assert found == [512, 256]  # of 2 GiB that are free


def test_an_engine_for_another_capability_is_refused_in_one_line(open_engine: Callable[..., Any]) -> None:
    with pytest.raises(BackendError, match=r"capability 8\.7 are asked for, Fake GPU has 8\.9"):
        open_engine(capability="8.7")
