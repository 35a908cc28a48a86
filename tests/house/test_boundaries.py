"""The rooms: who may import whom, and what each may need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from module_imports import imports_of, module_files, owner

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "core": {"core"},
    "networks": {"core", "networks"},
    "train": {"core", "networks", "train"},
    "export": {"core", "networks", "export"},
    "runtime": {"core", "runtime"},
}
TRAINING_ONLY = (
    "torch",
    "torchvision",
    "timm",
    "segmentation_models_pytorch",
    "lightning",
    "pytorch_lightning",
    "torchmetrics",
    "tensorboard",
    "matplotlib",
    "sklearn",
    "scipy",
    "pandas",
    "onnx",
    "onnxscript",
)
# The bedside extra: the dashboard, the listener and the DICOM outputs need it, scoring and watching do not.
BEDSIDE_ONLY = ("fastapi", "starlette", "uvicorn", "jinja2", "pynetdicom", "highdicom", "fhir", "hl7apy", "click")


def boundary_violations(root: Path) -> list[str]:
    """Imports that cross a wall, as `module:line imports name`."""
    broken = []
    for module, path in module_files(root).items():
        room = owner(module)
        assert room is not None
        for name, line in imports_of(module, path):
            other = owner(name)
            crosses = other is not None and other not in MAY_IMPORT[room]
            reaches_torch = room in ("core", "runtime") and name.split(".")[0] in TRAINING_ONLY
            if crosses or reaches_torch:
                broken.append(f"{module}:{line} imports {name}")
    return sorted(set(broken))


def test_no_room_imports_another_and_the_core_imports_none() -> None:
    assert boundary_violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        (
            "runtime/watcher/watcher.py",
            "from lungsev.networks import fused",
            "lungsev.runtime.watcher.watcher:1 imports lungsev.networks",
        ),
        (
            "runtime/watcher/watcher.py",
            "def work():\n    import torch",
            "lungsev.runtime.watcher.watcher:2 imports torch",
        ),
        (
            "runtime/outputs/csv.py",
            "from ...train import splits",
            "lungsev.runtime.outputs.csv:1 imports lungsev.train",
        ),
        ("train/report.py", "import lungsev.export.parity", "lungsev.train.report:1 imports lungsev.export.parity"),
        ("export/onnx.py", "from lungsev import train", "lungsev.export.onnx:1 imports lungsev.train"),
        (
            "lungsev/bundle/archive.py",
            "from ..networks.fused import x",
            "lungsev.bundle.archive:1 imports lungsev.networks.fused",
        ),
        (
            "lungsev/inference/select.py",
            'import importlib\nimportlib.import_module("lungsev.runtime.cli")',
            "lungsev.inference.select:2 imports lungsev.runtime.cli",
        ),
        ("lungsev/networks/heads.py", "from ..train import losses", "lungsev.networks.heads:1 imports lungsev.train"),
        (
            "lungsev/grading.py",
            "from sklearn.metrics import f1_score",
            "lungsev.grading:1 imports sklearn.metrics",
        ),
    ],
)
def test_the_checker_sees_a_planted_violation(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(parents=True)
    planted.write_text(text, encoding="utf-8")
    assert complaint in boundary_violations(tmp_path)


def test_the_checker_accepts_what_is_allowed(tmp_path: Path) -> None:
    for file, text in {
        "train/brixia.py": "import torch\nfrom lungsev.networks import fused\nfrom .splits import x\nimport lungsev",
        "runtime/outputs/png.py": "from lungsev.report import SeverityReport\nfrom ..store import x\nimport numpy",
        "lungsev/networks/fused.py": "import torch\nfrom lungsev.schemes import Scheme",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    assert boundary_violations(tmp_path) == []


def import_all_without(blocked: tuple[str, ...], modules: list[str]) -> subprocess.CompletedProcess[str]:
    """Import modules in a fresh interpreter where some packages cannot be found."""
    program = f"""
import importlib, sys
blocked = {blocked!r}
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked by the test)", name=name)
sys.meta_path.insert(0, Wall())
for name in {modules!r}:
    importlib.import_module(name)
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110)


def test_core_and_runtime_import_without_the_training_packages() -> None:
    modules = [name for name in module_files(ROOT) if owner(name) in ("core", "runtime")]
    result = import_all_without(TRAINING_ONLY, [name for name in modules if not name.endswith("__main__")])
    assert result.returncode == 0, result.stderr[-2000:]


def test_what_needs_no_bedside_extra_does_not_reach_it_through_another_module() -> None:
    modules = [
        name
        for name, path in module_files(ROOT).items()
        if owner(name) in ("core", "runtime") and not name.endswith("__main__") and not needs_bedside_to_load(path)
    ]
    assert {
        "lungsev.runtime.cli",
        "lungsev.runtime.commands.score",
        "lungsev.runtime.watcher.watcher",
        "lungsev.runtime.commands.demo",
    } <= {*modules}
    modules = [name for name in modules if not name.startswith("lungsev.runtime.dashboard")]
    result = import_all_without((*BEDSIDE_ONLY, *TRAINING_ONLY), modules)
    assert result.returncode == 0, result.stderr[-2000:]


def needs_bedside_to_load(path: Path) -> bool:
    """A module says itself, outside its functions, that it needs the extra."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        inner
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Import) and node not in late:
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node not in late and not node.level:
            names = [node.module or ""]
        else:
            continue
        if any(name.split(".")[0] in BEDSIDE_ONLY for name in names):
            return True
    return False


def test_the_wall_stops_a_module_that_needs_torch() -> None:
    result = import_all_without(TRAINING_ONLY, ["lungsev.schemes", "torch"])
    assert result.returncode != 0
    assert "blocked by the test" in result.stderr
