"""NVIDIA's real bindings take every call of ours, and every failure of theirs becomes one sentence.

They are 1 MB without their libraries, and import on a stub of the nine symbols they link to. `.ci/tensorrt_bindings.sh`
fetches them once.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import tiny_graph

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt import device_client
from lungsev.inference.tensorrt.cuda import count_devices
from lungsev.inference.tensorrt.device_backend import DeviceBackend
from lungsev.inference.tensorrt.settings import EngineSettings

ROOT = Path(__file__).resolve().parents[4]
OURS = ROOT / "lungsev" / "inference" / "tensorrt"
CONTRACT = ROOT / "tests" / "contract"
FETCHED = ROOT / ".venv" / "tensorrt-bindings"
LEAN_VERSION = "10.16.1.11"
VERSIONS = ("10.3.0", "10.7.0", "10.13.3.9", "10.16.1.11", "11.0.0.114", "11.4.0.106")
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
# What TensorRT-RTX alone has, behind a question for a method that TensorRT does not have.
RTX_ONLY = {"EngineValidity"}
RTX_MEMBERS = {
    "Runtime": ("get_engine_validity",),
    "ICudaEngine": ("create_runtime_config",),
    "IRuntimeConfig": ("cuda_graph_strategy", "create_runtime_cache", "set_runtime_cache"),
    "IRuntimeCache": ("serialize", "deserialize"),
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
}

SMI = "; check the NVIDIA driver with nvidia-smi$"
FAILURES = {
    "no builder": f"gives no builder: pybind11.*nullptr{SMI}",
    "no network": f"gives no network: no reason given{SMI}",
    "no parser": f"gives no parser: pybind11.*nullptr{SMI}",
    "no config": f"gives no builder configuration: no reason given{SMI}",
    "parser refuses": "does not read the graph: no reason given$",
    "parser refuses with reasons": "does not read the graph: .*no plugin Telepathy",
    "no plan": "could not build the engine: no reason given$",
    "out of memory": "ran out of memory with a workspace of 1024 MiB",
    "another capability": "builds only for the device it runs on",
    "no runtime": f"gives no runtime: pybind11.*nullptr{SMI}",
    "plan refused": "cannot load the engine: it is damaged, or was built for another version or device",
    "no context": "no execution context; the GPU may be out of memory",
    "half tensors": "tensor image has no fixed float32 shape",
    "no fixed shape": "tensor image has no fixed float32 shape",
    "address refused": "does not take memory for its tensor image",
    "not queued": "could not queue the engine",
}
BUILT = {"plan": "the plan", "timings": "timings", "layers": [1, 2], "said": []}
RAN = {"outputs": {"theta": [1, 1, 8, 8]}, "half_layers": [2, 3], "graph": True}
SUCCESSES = {
    "build": BUILT,
    "build with a warning": {**BUILT, "said": ["no driver was found"]},
    "no timings": BUILT,
    "run": RAN,
    "profile": {"told": [], "profiler": True, "times": [["first", 1.5]]},
    "no inspector": {**RAN, "half_layers": None},
}


def _fetched(name: str) -> Path:
    folder = FETCHED / f"{name}-cp{sys.version_info.major}{sys.version_info.minor}"
    if not folder.is_dir():
        pytest.skip(f"the bindings {name} are not here: sh .ci/tensorrt_bindings.sh .venv/bin/python")
    return folder


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("the stub follows the calling convention of Linux on x86-64")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here to make the stub that the bindings link to")
    folder = tmp_path_factory.mktemp("stub")
    made = folder / "libnvinfer.so.10"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, CONTRACT / "tensorrt_stub.c"], check=True, timeout=60)
    for library in LIBRARIES:
        for major in (10, 11):
            link = folder / f"lib{library}.so.{major}"
            if link != made:
                link.symlink_to(made.name)
    return folder


@pytest.fixture(scope="module", params=VERSIONS)
def found(request: pytest.FixtureRequest, stub: Path) -> dict[str, Any]:
    """What a process with bindings of one version reports."""
    return _ran(request.param, stub)


@cache
def _ran(version: str, stub: Path) -> dict[str, Any]:
    bindings = _fetched(version)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(stub)}
    command = [sys.executable, CONTRACT / "tensorrt_calls.py", bindings]
    done = subprocess.run(command, input=tiny_graph(), capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr.decode()[-2000:]}"
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["version"].startswith(version)
    return report


def test_every_failure_of_the_bindings_becomes_one_sentence(found: dict[str, Any]) -> None:
    outcomes = found["outcomes"]
    assert set(outcomes) == {*FAILURES, *SUCCESSES}
    for name, words in FAILURES.items():
        assert re.search(f"^BackendError: .*{words}", str(outcomes[name])), f"{name}: {outcomes[name]}"


def test_an_engine_is_built_and_run_through_the_bindings(found: dict[str, Any]) -> None:
    assert found["strongly_typed"]
    for name, expected in SUCCESSES.items():
        assert found["outcomes"][name] == expected, name


def test_every_name_of_ours_exists_in_the_bindings_or_is_asked_for_first(found: dict[str, Any], stub: Path) -> None:
    members: dict[str, list[str]] = found["members"]
    asked = _asked_for()
    of_module = [(name, member) for name, member in _names_of_module() if name not in RTX_ONLY | asked]
    assert ("DataType", "HALF") in of_module
    missing = [
        f"{name}.{member}"
        for name, member in of_module
        if name not in members or member not in {*members[name], *asked}
    ]
    here = {member for names in members.values() for member in names}
    anywhere = {member for version in VERSIONS for names in _ran(version, stub)["members"].values() for member in names}
    missing += sorted((_attributes() & anywhere) - here - asked - _defined_by_us())
    assert missing == []


@cache
def _nodes() -> tuple[ast.AST, ...]:
    texts = (path.read_text(encoding="utf-8") for path in sorted(OURS.glob("*.py")))
    return tuple(node for text in texts if "trt" in text for node in ast.walk(ast.parse(text)))


def _names_of_module() -> set[tuple[str, str]]:
    """`trt.DataType.HALF` and `library.trt.DataType.HALF` as (DataType, HALF)."""
    return {
        (node.value.attr, node.attr)
        for node in _nodes()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and _is_module(node.value.value)
        if not node.attr.startswith("_")
    }


def _is_module(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "trt") or (isinstance(node, ast.Attribute) and node.attr == "trt")


def _attributes() -> set[str]:
    return {node.attr for node in _nodes() if isinstance(node, ast.Attribute)}


def test_every_name_of_ours_exists_in_tensorrt_rtx_or_is_asked_for_first() -> None:
    rtx = pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13", exc_type=ImportError)
    asked = _asked_for()
    missing = [
        f"{name}.{member}"
        for name, member in _names_of_module()
        if name not in asked and not hasattr(getattr(rtx, name, None), member) and member not in asked
    ]
    assert missing == []
    for kind, members in RTX_MEMBERS.items():
        assert [name for name in members if not hasattr(getattr(rtx, kind), name)] == []
        assert set(members) <= _attributes() | asked


@pytest.mark.slow
@pytest.mark.skipif(count_devices() > 0, reason="there is an NVIDIA driver, with which the runtime does not crash")
def test_the_real_lean_runtime_crashes_without_a_driver_in_the_child_alone(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _fetched(f"lean-{LEAN_VERSION}")
    monkeypatch.setattr(sys, "path", [str(folder), str(CONTRACT), *sys.path])
    start = f"import lean_runtime; lean_runtime.install(); {device_client._START}"
    monkeypatch.setattr(device_client, "_START", start)
    with pytest.raises(BackendError, match="was ended by SIGSEGV while loading the engine"):
        DeviceBackend(tiny_bundle, EngineSettings())


def _defined_by_us() -> set[str]:
    """Fields, methods and functions: `self.precision` is no call of the bindings."""
    return {
        name
        for node in _nodes()
        for name in (
            node.name if isinstance(node, ast.FunctionDef) else None,
            node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else None,
            node.attr if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" else None,
        )
        if name is not None
    }


def _asked_for() -> set[str]:
    """Names in `hasattr` and `getattr`."""
    return {
        str(argument.value)
        for node in _nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr")
        for argument in node.args[1:2]
        if isinstance(argument, ast.Constant)
    }
