"""`lungsev-train card` and `export-hub`, as a user calls them."""

from __future__ import annotations

from pathlib import Path

from graded_runs import write_run
from tiny_bundle import write_tiny_bundle
from typer.testing import CliRunner

from lungsev.train.cli import app


def call(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_bundle_becomes_a_folder_and_the_upload_is_left_to_the_user(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "b")
    said = call("export-hub", bundle.path, "--out", tmp_path / "hub", "--licence", "MIT")
    assert "upload it yourself: hf upload USER/NAME" in " ".join(said.split())
    assert "license: mit\n" in (tmp_path / "hub/README.md").read_text()


def test_a_card_is_written_into_the_run_or_where_it_is_asked_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    call("card", run)
    call("card", run, "--out", tmp_path / "cards/mine.md", "--licence", "MIT")
    own, other = (run / "card.md").read_text(), (tmp_path / "cards/mine.md").read_text()
    assert (
        own.replace("license: cc-by-nc-sa-4.0", "license: mit").split("## Licence")[0] == other.split("## Licence")[0]
    )
