"""What pyproject.toml promises, the wheel holds."""

from __future__ import annotations

import ast
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "lungsev": "lungsev",
    "configs": "lungsev/configs",
    "train": "lungsev/train",
    "export": "lungsev/export",
    "runtime": "lungsev/runtime",
}
# Found on the machine, never installed by us: NVIDIA's own packages, and a server's client beside the server.
FROM_THE_DEVICE = {"tensorrt", "tensorrt_rtx", "openvino", "pynvml", "tritonclient", "triton_python_backend_utils"}
EXTRA_OF_ROOM = {"train": "train", "export": "export", "runtime": "bedside"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools would leave a build/ in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for name in source_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    (built,) = out.glob("*.whl")
    return built


def source_files() -> list[str]:
    """Every file of the rooms that belongs into the wheel, relative to the checkout."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    )


def installed_path(source: str) -> str:
    """Return where the wheel has a file of the checkout."""
    folder, _, rest = source.partition("/")
    return f"{FOLDERS[folder]}/{rest}"


def test_every_package_is_listed(project: dict[str, Any]) -> None:
    packages = {
        installed_path(path).rpartition("/")[0].replace("/", ".") for path in source_files() if path.endswith(".py")
    }
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(packages)


def test_every_package_has_an_init() -> None:
    for path in source_files():
        if path.endswith(".py"):
            assert (ROOT / path).parent.joinpath("__init__.py").is_file(), f"{path} is in a folder without __init__"


def test_the_wheel_holds_every_file_of_the_rooms(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {installed_path(path) for path in source_files()} - held == set()


def test_the_wheel_holds_the_licence_and_the_three_commands(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
        entry_points = next(name for name in held if name.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in held)
    assert all(f"{name} = " in commands for name in ("lungsev-train", "lungsev-export", "lungsev-run"))


def test_the_wheel_stays_small_enough_for_a_repository(wheel: Path) -> None:
    assert wheel.stat().st_size < 64 * 2**20


def test_the_runtime_asks_for_nothing_that_trains(project: dict[str, Any]) -> None:
    names = {canonicalize_name(Requirement(text).name) for text in project["project"]["dependencies"]}
    assert names.isdisjoint({"torch", "torchvision", "timm", "lightning", "scipy", "pandas", "scikit-learn", "onnx"})


def test_each_extra_for_a_gpu_brings_the_library_and_a_binding_for_the_same_cuda(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]

    def brought(extra: str, machine: str) -> dict[str, Requirement]:
        wanted = map(Requirement, extras[extra])
        chosen = [r for r in wanted if r.marker is None or r.marker.evaluate({"platform_machine": machine})]
        return {canonicalize_name(requirement.name): requirement for requirement in chosen}

    workstation, jetson = brought("tensorrt", "x86_64"), brought("tensorrt", "aarch64")
    assert set(workstation) == {"tensorrt-cu12", "cuda-bindings"}
    assert set(jetson) == {"cuda-bindings"}, "on a Jetson TensorRT comes with JetPack"
    for found in (workstation, jetson):
        assert found["cuda-bindings"].specifier.contains("12.9.10")
        assert not found["cuda-bindings"].specifier.contains("13.0.0")
    for extra, library in (("rtx", "tensorrt-rtx-cu13"), ("tensorrt-cuda13", "tensorrt-cu13")):
        found = brought(extra, "x86_64")
        assert set(found) == {library, "cuda-bindings"}
        assert not found["cuda-bindings"].specifier.contains("12.9.10")
    assert set(brought("pycuda", "aarch64")) == {"pycuda"}


def third_party_imports(path: Path) -> tuple[set[str], set[str]]:
    """Top-level names imported when the module loads, and those imported later inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Try) or _is_type_checking(node)
        for inner in ast.walk(node)
    }
    at_load: set[str] = set()
    inside: set[str] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        tops = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"lungsev"}
        (inside if node in late else at_load).update(tops)
    return at_load, inside


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


@cache
def installed() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def distributions_of(module: str) -> set[str]:
    return {canonicalize_name(name) for name in installed().get(module, [module])}


def undeclared(files: list[str], project: dict[str, Any]) -> list[str]:
    """Imports of packages pyproject does not name for the room they are used in."""
    base = project["project"]["dependencies"]
    extras = project["project"]["optional-dependencies"]
    # Which runtime modules may need the bedside extra when they load is for test_boundaries to say.
    rooms = {name: base + extras[extra] for name, extra in EXTRA_OF_ROOM.items()}
    everything = base + [text for texts in extras.values() for text in texts]

    def names(texts: list[str]) -> set[str]:
        return {canonicalize_name(Requirement(text).name) for text in texts}

    broken = []
    for file in files:
        room = "train" if file.startswith("lungsev/networks/") else file.split("/")[0]
        at_load, inside = third_party_imports(ROOT / file)
        for module in sorted(at_load):
            if distributions_of(module).isdisjoint(names(rooms.get(room, base))) and module not in FROM_THE_DEVICE:
                broken.append(f"{file} imports {module}")
        for module in sorted(inside):
            if distributions_of(module).isdisjoint(names(everything)) and module not in FROM_THE_DEVICE:
                broken.append(f"{file} imports {module} in a function")
    return broken


def test_every_package_that_is_imported_is_declared(project: dict[str, Any]) -> None:
    assert undeclared([path for path in source_files() if path.endswith(".py")], project) == []


def test_an_undeclared_import_is_seen(project: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "runtime" / "watcher" / "watcher.py"
    planted.parent.mkdir(parents=True)
    planted.write_text("import requests\nimport numpy\ndef f():\n    import torch, click_unknown\n", encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert undeclared(["runtime/watcher/watcher.py"], project) == [
        "runtime/watcher/watcher.py imports requests",
        "runtime/watcher/watcher.py imports click_unknown in a function",
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wheel_in_an_empty_environment_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "a venv with spaces"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, cwd=tmp_path)
    torch = subprocess.run([python, "-c", "import torch"], capture_output=True, cwd=tmp_path)
    assert torch.returncode != 0, "the runtime brought torch"
    command = environment / "bin" / "lungsev-run"
    helped = subprocess.run([command, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert helped.returncode == 0, helped.stderr
    demo = subprocess.run([command, "demo"], capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert demo.returncode == 0, demo.stderr[-2000:]
    assert list(tmp_path.rglob("*.json")), demo.stdout
    assert list(tmp_path.rglob("*.png")), demo.stdout
