"""make on a machine that has little: which Python it takes and what it says when there is none."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOO_OLD = "#!/bin/sh\ncase \"$2\" in *print*) echo 'Python 3.9.18' ;; *) exit 1 ;; esac\n"
WITHOUT_VENV = "#!/bin/sh\ncase \"$2\" in *print*) echo 'Python 3.12.1' ;; *ensurepip*) exit 1 ;; esac\n"


def find_python(path: Path, chosen: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "PYTHON": chosen}
    command = ["/bin/sh", str(ROOT / ".ci/find_python.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_named_python_is_taken_even_from_a_folder_with_spaces(tmp_path: Path) -> None:
    wrapper = program(tmp_path / "my pythons" / "python3.12", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    result = find_python(tmp_path, chosen=str(wrapper))
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).exists()


def test_a_named_python_that_is_too_old_is_refused_in_one_line(tmp_path: Path) -> None:
    old = program(tmp_path / "python3.9", TOO_OLD)
    result = find_python(tmp_path, chosen=str(old))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "Python 3.9.18" in result.stderr
    assert "expected Python 3.10 to 3.13" in result.stderr


def test_an_old_python3_is_passed_over_for_a_newer_one(tmp_path: Path) -> None:
    program(tmp_path / "python3", TOO_OLD)
    program(tmp_path / "python3.12", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    assert find_python(tmp_path).returncode == 0


def test_a_python_without_venv_is_named_with_what_to_install(tmp_path: Path) -> None:
    program(tmp_path / "python3", WITHOUT_VENV)
    result = find_python(tmp_path)
    assert result.returncode == 1
    assert "apt install python3-venv" in result.stderr


def test_no_python_at_all_is_one_line(tmp_path: Path) -> None:
    result = find_python(tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("lungsev: found no Python, expected Python 3.10 to 3.13")


def make(*arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    result = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_make_alone_says_what_every_target_does() -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = re.findall(r"^  make ([a-z0-9-]+)", make(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(targets)


@pytest.mark.parametrize(
    "target", ["demo", "test", "check", "docs", "mutants", "model", "test-slow", "test-gpu", "check-aarch64"]
)
def test_the_targets_a_newcomer_is_told_of_exist(target: str) -> None:
    assert "Nothing to be done" not in make("--dry-run", "--always-make", target)


def test_continuous_integration_runs_what_a_developer_runs() -> None:
    assert "make check" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_make_check_runs_format_lint_types_and_tests() -> None:
    commands = make("--dry-run", "--always-make", "check")
    for command in ("ruff format --check", "ruff check", ".ci/types", "-m pytest"):
        assert command in commands


def test_an_installation_that_fails_says_why_and_stops_make(tmp_path: Path) -> None:
    fails = program(tmp_path / "python", '#!/bin/sh\necho "no such package: $5" >&2\nexit 3\n')
    result = subprocess.run([ROOT / ".ci/install.sh", fails, "nothing"], capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "no such package: nothing\n"
