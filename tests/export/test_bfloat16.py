from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bfloat16_passes import FakePasses, outputs_of
from tiny_bundle import write_tiny_bundle
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import BackendError
from lungsev.export import bfloat16 as module
from lungsev.export.bfloat16 import with_margins
from lungsev.export.cli import app
from lungsev.inference.parity import ParityCase

CASES = [ParityCase(name, np.zeros((1, 1, 512, 512), np.float32)) for name in ("phantom 0", "image 1", "image 2")]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr(module, "parity_cases", lambda *_arguments, **_options: iter(CASES))
    passes = FakePasses(outputs_of([0.02, 0.04, 0.89, 0.05]), outputs_of())
    monkeypatch.setattr(module, "OpenVinoPasses", lambda *_arguments, **_options: passes)
    return write_tiny_bundle(tmp_path / "model")


def test_margins_are_written_into_the_manifest_and_the_graph_stays(bundle: Bundle, tmp_path: Path) -> None:
    said: list[str] = []
    written = with_margins(bundle, tmp_path / "measured.zip", [], 5, said.append, least=2)
    measured = read_bundle(tmp_path / "measured.zip").manifest.bfloat16
    assert measured == written.manifest.bfloat16
    assert measured is not None
    assert measured.grade_margins["brixia"] == pytest.approx(0.02, abs=2e-5)  # the most probable: twice .01
    assert (measured.entry_depth, measured.images, measured.changed) == (5, 3, 0)
    assert written.graph_sha256() == bundle.graph_sha256()
    assert said[0].startswith("bfloat16 on 3 images: 0 of 18 grades changed by one pass; 0.0% of the images graded")


def test_few_images_give_no_margins(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"found 2 radiographs .* expected 100 or more"):
        with_margins(bundle, tmp_path / "measured.zip", [])


def test_images_are_a_folder(bundle: Bundle, tmp_path: Path) -> None:
    arguments = ["bfloat16", str(bundle.path), str(tmp_path / "none"), "--out", str(tmp_path / "new")]
    assert "is not a folder" in str(CliRunner().invoke(app, arguments).exception)


def test_the_command_writes_them_and_says_how_many_are_graded_again(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_margins, "__defaults__", (*with_margins.__defaults__[:-1], 2))  # type: ignore[index]
    (tmp_path / "ward").mkdir()
    arguments = ["bfloat16", str(bundle.path), str(tmp_path / "ward"), "--out", str(tmp_path / "new"), "--json"]
    result = CliRunner().invoke(app, ["--allow-unsigned", *arguments])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["bfloat16"]["entry_depth"] == module.ENTRY_DEPTH
    assert document["sha256"] == read_bundle(tmp_path / "new").sha256
