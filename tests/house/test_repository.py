"""What a stranger finds in the checkout, and what must never be in it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from module_imports import imports_of, module_files

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("lungsev", "train", "export", "runtime", "configs")
# Put together here so that this file does not contain what it forbids.
MACHINE_PATHS = re.compile(
    r"(?<![\w>)}])/(?:" + "|".join(("work/", "root/", r"home/(?!someone)[a-z]", r"Users/[A-Za-z]")) + ")"
)
RADIOGRAPHS = {".dcm", ".jpg", ".jpeg", ".tif", ".tiff", ".img"}


def tracked_files() -> list[Path]:
    result = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in result.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """A file's text; empty for a binary file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "SECURITY.md", "docs/index.md")


@pytest.mark.parametrize("name", [*DOCUMENTS, ".ci/run", "Makefile"])
def test_the_documents_of_a_project_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 50


def test_the_licence_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "9. Accepting Warranty or Additional Liability" in text


def test_no_tracked_file_knows_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if MACHINE_PATHS.search(line)
    ]
    assert found == []


def test_the_search_for_machine_paths_finds_one() -> None:
    assert MACHINE_PATHS.search('open("/' + 'root/data/image.dcm")')
    assert not MACHINE_PATHS.search("GET /workers, DIR/work/image.dcm, lungsev-run watch /incoming")


def test_no_radiograph_is_committed_and_no_file_is_huge() -> None:
    for path in tracked_files():
        assert path.suffix.lower() not in RADIOGRAPHS, (
            f"{path.name}: images come from the phantom, never from a patient"
        )
        assert path.stat().st_size < 64 * 2**20, path.name


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert numbers
    assert numbers == list(range(1, len(numbers) + 1))


def test_decisions_fit_on_half_a_page() -> None:
    for path in (ROOT / "docs/decisions").glob("*.md"):
        assert len(path.read_text(encoding="utf-8").split()) < 350, path.name


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_module_says_in_one_line_what_it_is() -> None:
    for path in modules():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{path.relative_to(ROOT)} has no docstring"
        assert len(docstring.splitlines()[0]) <= 117, path.relative_to(ROOT)


def test_no_module_is_called_utils() -> None:
    assert [path.name for path in modules() if path.stem in ("utils", "util", "helpers", "common", "misc")] == []


def test_an_init_holds_imports_and_names_only() -> None:
    for path in modules():
        if path.name == "__init__.py":
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                allowed = isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.Expr)
                lazy = isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")  # PEP 562
                typed = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
                assert allowed or lazy or typed, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_underscore_name_leaves_its_module() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {alias.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("lungsev"))
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert found == []


def test_every_module_is_within_reach_of_a_test() -> None:
    """A module is named by a test, or used by a module that is."""
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    mirrored = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    files = module_files(ROOT)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in files.values())

    def is_named(module: str) -> bool:
        parent, _, stem = module.rpartition(".")
        imported = rf"\b{re.escape(module)}\b|from {re.escape(parent)} import [^\n]*\b{stem}\b"
        found_by_name = (
            f'"{stem}"' in tests and parent == "lungsev.train.data.datasets"
        )  # datasets are found, not imported
        copied = f'"{stem}.py"' in sources  # the example client is written beside a served model
        return stem in mirrored or found_by_name or copied or re.search(imported, tests) is not None

    reached = {module for module in files if is_named(module)}
    waiting = list(reached)
    while waiting:
        module = waiting.pop()
        fresh = {name for name, _ in imports_of(module, files[module]) if name in files} - reached
        reached |= fresh
        waiting += fresh
    exempt = {module for module, path in files.items() if path.name in ("__init__.py", "__main__.py")}
    assert sorted(files.keys() - reached - exempt) == []


def test_a_module_nothing_reaches_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("lungsev", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lungsev/orphan.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    with pytest.raises(AssertionError, match=r"lungsev\.orphan"):
        test_every_module_is_within_reach_of_a_test()
