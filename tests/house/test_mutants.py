"""The mutation script changes what it says it changes, and its mutants take the module's place."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = '''"""A docstring."""

LIMIT = 3


def grade(value: int, *, strict: bool = False) -> str | None:
    """Return a word."""
    if value >= LIMIT and not strict:
        return "high"
    raise ValueError("no such grade")
'''


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / ".ci/mutants.py"))


def test_every_operator_changes_its_line_and_nothing_else(script: dict[str, Any]) -> None:
    changed = {(mutant.line, mutant.after) for mutant in script["mutants_of"](SOURCE)}
    assert changed == {
        (3, "LIMIT = 4"),
        (6, "def grade(value: int, *, strict: bool=True) -> str | None:"),
        (8, "if value > LIMIT and (not strict):"),
        (8, "if value >= LIMIT or not strict:"),
        (8, "if value >= LIMIT and (not not strict):"),
        (8, "if not (value >= LIMIT and (not strict)):"),
        (9, "return 'highh'"),
        (9, "return None"),
    }


def test_a_mutant_behaves_as_its_line_says(script: dict[str, Any]) -> None:
    (mutant,) = [mutant for mutant in script["mutants_of"](SOURCE) if mutant.after == "LIMIT = 4"]
    names: dict[str, Any] = {}
    exec(compile(mutant.tree, "mutant", "exec"), names)
    assert names["grade"](4) == "high"
    with pytest.raises(ValueError, match="no such grade"):
        names["grade"](3)


def test_the_module_is_replaced_by_its_mutant(script: dict[str, Any]) -> None:
    program = f"""
import runpy, sys
script = runpy.run_path({str(ROOT / ".ci/mutants.py")!r})
mutant = script["mutants_of"]("class LungsevError(Exception):\\n    limit = 1\\n")[0]
sys.meta_path.insert(0, script["MutantFinder"]("lungsev.errors", mutant))
import lungsev.errors
print(lungsev.errors.LungsevError.limit, lungsev.errors.__file__)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 ")
    assert result.stdout.strip().endswith("errors.py")


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("lungsev/grading.py", "tests/core/test_grading.py"),
        ("lungsev/quality/gate.py", "tests/core/quality/test_gate.py"),
        ("lungsev/networks/warp.py", "tests/networks/test_warp.py"),
        ("runtime/patients/trend.py", "tests/runtime/patients/test_trend.py"),
    ],
)
def test_a_modules_tests_are_found_by_its_place(script: dict[str, Any], module: str, test: str) -> None:
    assert script["mirrored_test"](Path(module)).as_posix() == test


def test_the_chosen_modules_and_their_tests_exist(script: dict[str, Any]) -> None:
    for module in script["CHOSEN"]:
        assert (ROOT / module).is_file()
        assert (ROOT / script["mirrored_test"](Path(module))).is_file()
