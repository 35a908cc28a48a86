from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lungsev import __version__
from lungsev.bundle.archive import Bundle
from lungsev.runtime.cli import app

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
ALL = [
    *("bench", "corrections", "dashboard", "demo", "doctor", "engine", "listen", "listen-hl7"),
    *("models", "outbox", "patients", "phantoms", "rescore", "score", "trend", "verify", "watch"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lungsev.runtime.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_every_command_users_know_is_there() -> None:
    assert COMMANDS == ALL


@pytest.mark.parametrize("command", ALL)
def test_help_has_an_example(command: str) -> None:
    words = {"corrections": ["corrections", "export"], "patients": ["patients", "merge"]}.get(command, [command])
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Example" in result.output


def test_no_help_loads_anything_heavy() -> None:
    # pydantic is not in the list: typer itself loads it for options
    program = f"""
import sys
from typer.testing import CliRunner
from lungsev.runtime.cli import app
for command in {ALL!r}:
    CliRunner().invoke(app, [command, "--help"])
heavy = {{"numpy", "cv2", "pydicom", "onnxruntime", "yaml", "torch", "fastapi", "pynetdicom"}}
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "[]", result.stderr


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == f"lungsev-run {__version__}"


def test_an_operators_error_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    result = run("score", str(tmp_path / "absent.dcm"))
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"lungsev-run: no such file or folder: {tmp_path / 'absent.dcm'}; check the path"
    ]


def test_wrong_usage_is_exit_code_2() -> None:
    assert run("score").returncode == 2


def test_a_bug_is_one_line_without_its_words() -> None:
    program = "from lungsev.runtime import cli\ndef app(): raise ValueError('CANARY')\ncli.app = app\ncli.main()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("lungsev-run: unexpected ValueError at <string>:2")
    assert "CANARY" not in result.stderr


def test_an_unsigned_bundle_is_refused_in_one_line_and_taken_when_asked_for_before_or_after_the_command(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNGSEV_ALLOW_UNSIGNED", "0")
    monkeypatch.setenv("LUNGSEV_TRUSTED_KEYS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    words = ["verify", "--bundle", str(tiny_bundle.path), "--backend", "onnxruntime", "--json"]
    refused = CliRunner().invoke(app, words)
    assert "lungsev-export sign" in str(refused.exception)
    assert "--allow-unsigned" in str(refused.exception)
    assert "copy the bundle again" not in str(refused.exception)
    for asked in (["--allow-unsigned", *words], [*words, "--allow-unsigned"]):
        monkeypatch.setenv("LUNGSEV_ALLOW_UNSIGNED", "0")
        assert CliRunner().invoke(app, asked, catch_exceptions=False).exit_code == 0
