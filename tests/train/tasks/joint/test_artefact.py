"""What is kept of a run repeats its calibration, and another one, without an image."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.tasks.joint import artefact as module
from lungsev.train.tasks.joint.artefact import repeat_calibration, write_artefact


def test_calibration_is_repeated_from_the_file_alone(trained: Any, tmp_path: Path) -> None:
    file = write_artefact(trained.run.path, tmp_path / "artefact.zip")
    assert file.stat().st_size < 2e6
    found = repeat_calibration(file, {})
    assert set(found) == {"brixia", "ralo", "ralo_opacity"}
    for name, scheme in found.items():
        stated = trained.metrics["schemes"][name]["results"]["test"]
        assert scheme["as_stated"]
        assert scheme["results"]["test"]["ece"] == pytest.approx(stated["ece"], abs=1e-4)
    other = repeat_calibration(trained.run.path, {"decision": "median"})
    assert {scheme["calibration"]["decision"] for scheme in other.values()} == {"median"}
    assert {scheme["as_stated"] for scheme in other.values()} == {None}


def test_what_is_no_run_is_refused_and_what_is_too_large_is_not_left(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="neither the folder of a run"):
        repeat_calibration(tmp_path / "none.zip", {})
    shutil.copyfile(trained.run.path / "config.yaml", tmp_path / "config.yaml")
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match="no predictions from before its calibration"):
        repeat_calibration(tmp_path, {})
    monkeypatch.setattr(module, "LIMIT_BYTES", 1000)
    with pytest.raises(LungsevError, match="expected at most"):
        write_artefact(trained.run.path, tmp_path / "artefact.zip")
    assert not (tmp_path / "artefact.zip").exists()
