"""The cache finds what fits, and is written by one process at a time."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.build import BuiltEngine
from lungsev.inference.tensorrt.cache import ANY, EngineKey, locked_engine, read_engine, read_timings, store_engine

KEY = EngineKey("a" * 64, "tensorrt", "10.3", "GPU", "8.9", "12.4", "fp32", None, None)
BUILT = BuiltEngine(b"plan", 0, 1, 1.0, (), b"timings")


def test_two_processes_prepare_one_after_the_other(tmp_path: Path) -> None:
    said: list[str] = []
    waiting, order = threading.Event(), list[str]()

    def say(line: str) -> None:
        said.append(line)
        waiting.set()

    def second() -> None:
        with locked_engine(KEY, tmp_path, say):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked_engine(KEY, tmp_path, said.append):
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    assert said == ["another process builds this engine; waiting for it"]


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BackendError, match="LUNGSEV_CACHE"),
        locked_engine(KEY, tmp_path / "file", lambda line: None),
    ):
        pass


def test_what_was_stored_is_found(tmp_path: Path) -> None:
    store_engine(KEY, BUILT, tmp_path)
    engine, reason = read_engine(KEY, tmp_path)
    assert engine is not None
    assert (engine.plan, reason) == (b"plan", "")
    assert read_timings(KEY, tmp_path) == b"timings"
    assert read_timings(replace(KEY, library_version="10.4"), tmp_path) == b""


def test_a_power_cut_between_plan_and_side_file_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    path = store_engine(KEY, BUILT, tmp_path).path
    side = path.with_suffix(".json").read_text()
    store_engine(KEY, replace(BUILT, plan=b"another"), tmp_path)
    path.with_suffix(".json").write_text(side)
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"half a pl")
    engine, reason = read_engine(KEY, tmp_path)
    assert engine is None
    assert "damaged" in reason
    path.with_suffix(".json").unlink()
    assert read_engine(KEY, tmp_path)[0] is None


def test_what_a_power_cut_left_behind_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    old, new = (tmp_path / f".{name}.part" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half a plan")
    os.utime(old, (0, 0))
    with locked_engine(KEY, tmp_path, lambda line: None):
        assert not old.exists()
        assert new.exists()


@pytest.mark.parametrize("name", [name for name in asdict(KEY) if name not in ("workspace_mib", "optimisation_level")])
def test_what_an_engine_depends_on_must_fit(tmp_path: Path, name: str) -> None:
    path = store_engine(KEY, BUILT, tmp_path).path
    side = json.loads(path.with_suffix(".json").read_text())
    side["key"][name] = "something else"
    path.with_suffix(".json").write_text(json.dumps(side))
    engine, reason = read_engine(KEY, tmp_path)
    assert engine is None
    assert f"{name}: found 'something else'" in reason


def test_an_engine_for_any_device_of_a_capability_fits_each(tmp_path: Path) -> None:
    store_engine(replace(KEY, device=ANY, driver=ANY), BUILT, tmp_path)
    assert read_engine(replace(KEY, device="Other GPU", driver="13.0"), tmp_path)[0] is not None
    assert read_engine(replace(KEY, compute_capability="8.7"), tmp_path)[0] is None
