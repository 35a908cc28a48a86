"""ARCHITECTURE.md lists every module with the first line of its docstring."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / ".ci/architecture.py"))


def test_the_module_index_is_up_to_date() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert SCRIPT["with_modules"](text, SCRIPT["module_index"](ROOT)) == text, "run: make architecture"


def test_the_index_names_packages_and_modules(tmp_path: Path) -> None:
    for file, text in {
        "lungsev/__init__.py": '"""Core."""',
        "lungsev/reading/__init__.py": '"""Reading."""',
        "lungsev/reading/limits.py": '"""Limits of a file.\n\nMore.\n"""',
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    index = SCRIPT["module_index"](tmp_path)
    assert "### lungsev/\n\nCore.\n" in index
    assert "#### lungsev/reading/\n\nReading.\n" in index
    assert "- [`limits.py`](lungsev/reading/limits.py): Limits of a file.\n" in index


def test_a_document_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        SCRIPT["with_modules"]("# Architecture\n", "")
