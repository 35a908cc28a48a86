"""The three commands start fast: `--help` loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
import typer

HEAVY = (
    "cv2",
    "fastapi",
    "fsspec",
    "highdicom",
    "lightning",
    "numpy",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "pydantic",
    "pydicom",
    "pynetdicom",
    "ray",
    "torch",
    "yaml",
)
PROGRAM = f"""
import sys
from importlib import import_module
from typing import Any
from importlib import import_module
module, *arguments = sys.argv[1:]
sys.argv = ["command", *arguments]
try:
    import_module(module).main()
except SystemExit as done:
    code = done.code
else:
    code = 0
print("LOADED", *sorted(name for name in {HEAVY!r} if name in sys.modules))
sys.exit(code)
"""


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("room", ["runtime", "train", "export"])
def test_help_loads_nothing_heavy(room: str) -> None:
    result = run(f"lungsev.{room}.cli", "--help")
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["LOADED"]


@pytest.mark.parametrize("room", ["runtime", "train", "export"])
def test_an_unknown_option_is_a_usage_error(room: str) -> None:
    result = run(f"lungsev.{room}.cli", "--no-such-option")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_the_engine_command_has_the_same_options_in_both_commands() -> None:
    def options(room: str) -> set[str]:
        group: Any = typer.main.get_command(import_module(f"lungsev.{room}.cli").app)
        return {option for parameter in group.commands["engine"].params for option in parameter.opts}

    assert options("runtime") == options("export")
    assert {"bundle", "--bundle", "--for", "--out", "--precision", "--workspace-mib", "--level"} <= options("runtime")
