from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from archive_runs import table
from bedside_images import MODEL, QuickModel, png
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle
from lungsev.errors import LungsevError, MissingExtraError
from lungsev.report import ModelInfo
from lungsev.runtime.cluster.run import Summary
from lungsev.runtime.commands import archive as archive_module
from lungsev.runtime.commands.archive import ArchiveOptions, score_archive
from lungsev.runtime.commands.score import score
from lungsev.runtime.settings import ModelSettings


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    folder = tmp_path / "ward"
    folder.mkdir()
    (folder / "image.png").write_bytes(png(1))
    (folder / "letter.dcm").write_bytes(b"Dear colleague, this is no image.")
    (folder / "x.part").write_bytes(b"x")
    return folder


def info_of(bundle: Bundle) -> ModelInfo:
    return replace(MODEL, bundle_sha256=bundle.sha256)


@pytest.fixture
def model(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> ModelSettings:
    monkeypatch.setattr("lungsev.model.load", lambda *arguments, **options: QuickModel(info=info_of(tiny_bundle)))
    return ModelSettings(bundle=tiny_bundle.path, backend="onnxruntime", threads=1)


def test_an_archive_becomes_a_table_and_a_summary(
    ward: Path, tmp_path: Path, model: ModelSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="the extra cluster is not installed")
    out = tmp_path / "out"
    score_archive([str(ward)], out, model, ArchiveOptions(reports=True), as_json=False)
    rows = {row["image"]: row for row in table(out)}
    assert {name: row["status"] for name, row in rows.items()} == {"image.png": "scored", "letter.dcm": "failed"}
    assert json.loads(rows["image.png"]["report"])["scores"]["brixia"]["total"] == rows["image.png"]["total"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == [
        "2 images: 1 scored, 0 skipped, 1 failed",
        "failed: unknown_format 1",
        "left out: 1 hidden or still being written",
    ]
    assert printed[-2:] == [f"results: {out}", "Research use only. Not for clinical use."]
    (ward / "letter.dcm").unlink()
    with pytest.raises(LungsevError, match=r"not all was listed: no such file or folder: .*absent"):
        score_archive([str(ward), str(tmp_path / "absent")], out, model, ArchiveOptions(), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["done_before"], len(told["errors"])) == (0, 1, 1)


def test_sigterm_ends_a_run_with_what_is_finished(
    ward: Path, tmp_path: Path, model: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="the extra cluster is not installed")

    def terminate(progress: object, summary: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(archive_module._Progress, "__call__", terminate)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        score_archive([str(ward)], tmp_path / "out", model, ArchiveOptions(), as_json=False)
    assert ended.value.code == 143
    assert len(table(tmp_path / "out")) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_is_lines_in_a_log_and_one_line_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archive_module, "_LINE_SECONDS", 0.0)
    monkeypatch.setattr(archive_module, "_TERMINAL_SECONDS", 0.0)
    summary = Summary(scored=3, done=2, seconds=2.0)
    progress = archive_module._Progress()
    progress(summary)
    progress.close()
    assert capsys.readouterr() == ("", "3 scored, 0 skipped, 0 failed, 2 done before; 1.5 images/s\n")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = archive_module._Progress()
    progress(summary)
    progress.close()
    assert capsys.readouterr().err == "\r\x1b[K3 scored, 0 skipped, 0 failed, 2 done before; 1.5 images/s\r\x1b[K"


def test_a_summary_tells_of_workers_that_ended(capsys: pytest.CaptureFixture[str]) -> None:
    archive_module._print_for_people(Summary(scored=8, workers=2, deaths=1, seconds=2.0), Path("out"))
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "1 worker ended before the end and was replaced",
        "2.0 s, 4.0 images/s with 2 workers",
    ]


@pytest.mark.parametrize(
    "options", [{"parquet": True}, {"cluster": "auto"}, {"sources": ["https://host/archive/"]}], ids=str
)
def test_an_archive_needs_a_folder_for_its_results(ward: Path, options: dict) -> None:
    with pytest.raises(LungsevError, match="an archive needs --out"):
        score(**{"sources": [str(ward)], **options})


def test_a_url_for_the_results_and_an_archive_without_images_are_said(tmp_path: Path, model: ModelSettings) -> None:
    with pytest.raises(LungsevError, match="found a URL for --out, expected a folder of this machine"):
        score_archive(["archive"], Path("s3://bucket/out"), model, ArchiveOptions(), as_json=False)
    pytest.importorskip("pyarrow", reason="the extra cluster is not installed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LungsevError, match=r"found no image in .*empty; check the address"):
        score_archive([str(tmp_path / "empty")], tmp_path / "out", model, ArchiveOptions(), as_json=True)


def test_a_missing_ray_is_said_before_anything_is_listed(
    ward: Path, tmp_path: Path, model: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lungsev\[cluster\]"'):
        score_archive([str(ward)], tmp_path / "out", model, ArchiveOptions(cluster="auto"), as_json=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--reports"], ["--gpus-per-worker", "1"], ["--jobs", "65"]])
def test_options_of_archives_alone_are_refused_elsewhere(ward: Path, options: list[str]) -> None:
    from lungsev.runtime.cli import app

    result = CliRunner().invoke(app, ["score", str(ward), *options])
    assert result.exit_code == 2
    assert "cluster" in result.output
