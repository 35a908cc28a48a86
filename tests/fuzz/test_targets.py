"""Every target reads its seeds and all that a fuzzer ever found, without a crash; and the targets can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.run import CRASHES
from fuzz.seeds import seeds_of
from fuzz.targets import TARGETS

from lungsev.errors import LungsevError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_what_a_fuzzer_found_is_answered(name: str) -> None:
    if name in ("dicom_listener", "http"):
        pytest.importorskip("pynetdicom", reason='needs the "bedside" extra')
    if name == "tables":
        pytest.importorskip("lungsev.train", reason='needs the "train" extra')
    found = sorted(path for path in (CRASHES / name).glob("*") if path.is_file())
    with TARGETS[name]() as feed:
        for path in found:
            feed(path.read_bytes())
        feed(b"")
        feed(b"\x00" * 64)


@pytest.mark.parametrize("name", ["codestreams", "hl7_listener", "yaml", "bundles", "tables", "web_answers"])
def test_seeds_are_answered(name: str) -> None:
    seeds = list(seeds_of(name))
    assert len({bytes(seed) for seed in seeds}) > 3
    with TARGETS[name]() as feed:
        for seed in seeds[:: max(1, len(seeds) // 8)]:
            feed(seed)


def test_a_seed_of_the_listener_holds_a_whole_association() -> None:
    pytest.importorskip("pynetdicom", reason='needs the "bedside" extra')
    echo = next(seeds_of("dicom_listener"))
    assert echo[:2] == b"\x01\x00"  # A-ASSOCIATE-RQ, PS3.8 9.3.2
    with TARGETS["dicom_listener"]() as feed:
        feed(echo)


def test_an_error_that_is_not_declared_fails_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise LungsevError("declared by no reading of an image")

    monkeypatch.setattr("lungsev.reading.read.read_radiograph_bytes", broken)
    with TARGETS["reading"]() as feed, pytest.raises(LungsevError):
        feed(b"x")


def test_without_atheris_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "atheris.py").write_text("raise ImportError")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests")])}
    command = [sys.executable, str(ROOT / "tests/fuzz/run.py"), "--minutes", "0.01"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.strip() == 'atheris is missing; install it: pip install "lungsev[fuzz]"'
