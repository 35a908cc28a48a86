"""Rules of size and shape: folders, files, functions, import cycles, repeated constants, a test file for each module.

Complexity (at most 15) is checked by the linter. What is allowed to break a rule is listed here with its reason; an
entry that no longer needs its permission fails too.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

from module_imports import imports_of, module_files

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("lungsev", "train", "export", "runtime")
Function = ast.FunctionDef | ast.AsyncFunctionDef
FOLDER_FILES = 18
FILE_LINES = 350
FUNCTION_LINES = 50

LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
REPEATED_CONSTANTS = {
    "BATCH": "images of one pass without gradients: what fits beside each task's own network",
    "DEFAULT_ROOT": "train writes runs where export looks for them, and the rooms never import each other",
    "ZONES": "the phantom writes a published table and train reads it: neither may follow the other",
    "_SHIFT": "fraction bits that OpenCV draws with, in the overlay and in the phantom",
    "_IMAGE_SIZE_PX": "the demo and the unit of phantom patients choose their images' size each for itself",
}
# Test file of another place: the modules it tests.
TESTED_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "tests/core/inference/test_onnxruntime.py": ("lungsev/inference/backend.py",),
    "tests/export/test_engine.py": ("export/cli.py",),
    "tests/runtime/test_cli.py": ("runtime/commands/dashboard.py",),
    "tests/train/tasks/test_tables.py": (
        "train/tasks/handcrafted.py",
        "train/tasks/table_settings.py",
    ),
    "tests/train/test_cli.py": (
        "train/commands/data.py",
        "train/commands/evaluation.py",
        "train/commands/table.py",
        "train/commands/training.py",
    ),
}


def modules(root: Path) -> list[Path]:
    return [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_folder_is_wide() -> None:
    counted = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules(ROOT) if path.name != "__init__.py")
    assert {folder: count for folder, count in counted.items() if count > FOLDER_FILES} == {}


def test_no_file_is_long() -> None:
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_bytes().splitlines()) for path in modules(ROOT)}
    assert {name: count for name, count in lines.items() if count > FILE_LINES}.keys() == LONG_FILES.keys()


def test_no_function_is_long() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{function.name}": lines
        for path in modules(ROOT)
        for function in functions(path)
        if (lines := body_lines(function)) > FUNCTION_LINES
    }
    assert found.keys() == LONG_FUNCTIONS.keys()


def body_lines(function: Function) -> int:
    """Return a function's lines without its signature and docstring, which are longer the better it is described."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if is_docstring else first.lineno - 1
    return (function.end_lineno or 0) - (start or 0)


def test_no_modules_import_one_another_when_they_are_loaded() -> None:
    assert cycles(ROOT) == []


def cycles(root: Path) -> list[list[str]]:
    """Return the groups of modules of which each reaches each."""
    files = module_files(root)
    graph = {module: loaded_imports(module, path) & files.keys() for module, path in files.items()}
    reached = {module: reachable(module, graph) for module in graph}
    groups = {frozenset(other for other in reached[module] if module in reached[other]) for module in graph}
    return sorted(sorted(group) for group in groups if group)


def loaded_imports(module: str, path: Path) -> set[str]:
    """Return what a module imports outside functions and TYPE_CHECKING; packages that contain it do not count."""
    late = {
        inner.lineno
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    return {
        name
        for name, line in imports_of(module, path)
        if line not in late and not (f"{module}.").startswith(f"{name}.")
    }


def reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        found = graph[waiting.pop()] - seen
        seen |= found
        waiting += found
    return seen


def test_a_planted_cycle_is_seen(tmp_path: Path) -> None:
    for name, text in {
        "a": "from lungsev.b import x",
        "b": "import lungsev.c",
        "c": "from lungsev import a",
        "d": "def f():\n    import lungsev.e",
        "e": "import lungsev.d",
    }.items():
        (tmp_path / "lungsev").mkdir(exist_ok=True)
        (tmp_path / f"lungsev/{name}.py").write_text(text, encoding="utf-8")
    assert cycles(tmp_path) == [["lungsev.a", "lungsev.b", "lungsev.c"]]


def test_a_constant_is_defined_once() -> None:
    assert repeated_constants(ROOT).keys() == REPEATED_CONSTANTS.keys()


def repeated_constants(root: Path) -> dict[str, list[str]]:
    """Return the constants that several modules define with one name and one value."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in modules(root):
        for node in tree_of(path).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and re.fullmatch(r"_?[A-Z][A-Z0-9_]+", target.id) and value is not None:
                found[target.id, ast.unparse(value)].append(path.relative_to(root).as_posix())
    return {name: places for (name, _), places in found.items() if len(places) > 1}


def test_every_module_with_logic_has_a_test_file_in_its_place() -> None:
    without = {
        path.relative_to(ROOT).as_posix()
        for path in modules(ROOT)
        if functions(path) and not path.name.startswith("__")
        if not (ROOT / mirrored_test(path.relative_to(ROOT))).is_file()
    }
    listed = [module for tested in TESTED_ELSEWHERE.values() for module in tested]
    assert sorted(without) == sorted(listed)
    assert [test for test in TESTED_ELSEWHERE if not (ROOT / test).is_file()] == []


def mirrored_test(path: Path) -> Path:
    parts = path.parts
    if parts[0] == "lungsev":
        parts = parts[1:] if parts[1] == "networks" else ("core", *parts[1:])
    return Path("tests", *parts[:-1], f"test_{path.name}")
