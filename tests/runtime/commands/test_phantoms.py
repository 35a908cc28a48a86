from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lungsev.phantom import unit as unit_module
from lungsev.runtime.cli import app


def test_the_command_counts_the_files_says_what_comes_next_and_keeps_out_of_a_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_module, "_IMAGE_SIZE_PX", 128)
    made = CliRunner().invoke(app, ["phantoms", str(tmp_path / "ward"), "--patients", "1"])
    assert made.exit_code == 0, made.output
    count = len(list((tmp_path / "ward").iterdir()))
    assert f"{count} files of 1 phantom patient in {tmp_path / 'ward'}" in made.stdout
    assert f"lungsev-run watch {tmp_path / 'ward'} --dashboard" in made.stdout
    again = CliRunner().invoke(app, ["phantoms", str(tmp_path / "ward")])
    assert "is not empty" in str(again.exception)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["phantoms", str(tmp_path / "file" / "ward")])
    assert "choose another folder" in str(result.exception)
