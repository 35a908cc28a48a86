from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import BundleError, LungsevError
from lungsev.model import Model, load
from lungsev.phantom import make_non_chest, make_phantom, write_phantom_dicom, write_phantom_jpeg, write_phantom_png
from lungsev.report import SeverityReport
from lungsev.runtime.commands import score as score_module

CHEST = make_phantom(11, size_px=256)


@pytest.fixture
def score(tiny_bundle: Bundle, tmp_path: Path) -> Callable[..., None]:
    def run(*paths: Path, out: Path | None = None, jobs: int = 1, fresh: bool = False, as_json: bool = False) -> None:
        score_module.score(list(paths), out, tiny_bundle.path, "onnxruntime", 1, jobs, fresh, as_json)

    return run


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    folder = tmp_path / "ward"
    folder.mkdir()
    write_phantom_dicom(CHEST, folder / "image.dcm")
    write_phantom_png(CHEST, folder / "image.png")
    write_phantom_jpeg(CHEST, folder / "image.jpg")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "truncated.dcm").write_bytes((folder / "image.dcm").read_bytes()[:3000])
    (folder / "letter.dcm").write_bytes(b"Dear colleague, this is no image.")
    return folder


def reports(out: Path) -> dict[str, SeverityReport]:
    return {path.name[:-5]: SeverityReport.from_json(path.read_text()) for path in out.glob("*.json")}


def test_every_input_gets_one_report_and_no_image_stops_another(
    score: Callable[..., None], ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(ward, out=tmp_path / "out", jobs=2)
    found = reports(tmp_path / "out")
    statuses = {name: report.status for name, report in found.items()}
    assert statuses == {
        "image.dcm": "scored",
        "image.png": "scored",
        "image.jpg": "scored",
        "empty.dcm": "failed",
        "truncated.dcm": "failed",
        "letter.dcm": "failed",
    }
    assert all(report.message for report in found.values() if report.status == "failed")
    assert all(report.image.sha256 for report in found.values())
    for name in ("image.dcm", "image.png", "image.jpg"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")) is not None
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if str(ward) in line]) == 6
    assert "6 images: 3 scored, 0 skipped, 3 failed" in printed


@pytest.mark.parametrize(("jobs", "threads", "each"), [(1, None, 5), (2, None, 2), (8, None, 1), (2, 4, 4)])
def test_jobs_share_the_cpus_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle, ward: Path, jobs: int, threads: int | None, each: int
) -> None:
    opened = []
    monkeypatch.setattr("lungsev.inference.cpus.usable_cpus", lambda: 5)
    monkeypatch.setattr("os.cpu_count", lambda: 64)

    def note(bundle: Path | None, backend: str, count: int | None, **_more: object) -> Model:
        opened.append(count)
        return load(bundle, backend, 1)

    monkeypatch.setattr("lungsev.model.load", note)
    score_module.score([ward / "empty.dcm"], None, tiny_bundle.path, "onnxruntime", threads, jobs, True, False)
    assert opened[0] == each


def test_a_second_run_keeps_what_is_there_and_tries_what_failed(
    score: Callable[..., None], ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (ward / "image.png").unlink()
    (ward / "image.jpg").unlink()
    score(ward, out=out)
    before = (out / "image.dcm.json").stat().st_mtime_ns
    capsys.readouterr()
    score(ward, out=out)
    assert "(1 kept from an earlier run)" in capsys.readouterr().out
    assert (out / "image.dcm.json").stat().st_mtime_ns == before
    assert len(reports(out)) == 4
    score(ward, out=out, fresh=True)
    assert (out / "image.dcm.json").stat().st_mtime_ns > before
    assert len(reports(out)) == 4


def test_json_lines_for_machines(score: Callable[..., None], ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score(ward / "image.dcm", ward / "empty.dcm", as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["report"]["status"] for line in lines] == ["scored", "failed"]
    assert lines[0]["input"] == str(ward / "image.dcm")


def test_a_path_that_does_not_exist_is_said_after_the_others_are_done(
    score: Callable[..., None], ward: Path, tmp_path: Path
) -> None:
    with pytest.raises(LungsevError, match=r"absent\.dcm; the other 1 image is done"):
        score(ward / "image.png", tmp_path / "absent.dcm", out=tmp_path / "out")
    assert set(reports(tmp_path / "out")) == {"image.png"}


def test_an_empty_folder_and_a_missing_bundle_are_the_operators(
    score: Callable[..., None], ward: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LungsevError, match="found no file"):
        score(tmp_path / "empty")
    with pytest.raises(BundleError):
        score_module.score([ward], bundle=tmp_path / "no-bundle")


def test_unfinished_files_of_a_folder_are_left_alone_and_counted(
    score: Callable[..., None], ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ward / "image.jpg").rename(ward / "x.dcm.crdownload")
    score(ward, out=tmp_path / "out")
    assert "x.dcm.crdownload" not in reports(tmp_path / "out")
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["1 file left out, hidden or still being written"]
    assert "5 images: 2 scored, 0 skipped, 3 failed" in printed.out.splitlines()


def test_a_folder_of_unfinished_files_says_so(score: Callable[..., None], tmp_path: Path) -> None:
    for name in ("x.dcm.crdownload", "y.dcm.part"):
        (tmp_path / name).write_bytes(b"DICM")
    with pytest.raises(LungsevError, match=r"\(2 files left out, hidden or still being written\); expected images"):
        score(tmp_path)


def test_a_fifo_named_as_an_image_fails_at_once(score: Callable[..., None], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    score(tmp_path / "fifo", out=tmp_path / "out")
    assert reports(tmp_path / "out")["fifo"].error == "not_a_file"


def test_a_name_cannot_drive_the_terminal(
    score: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "\x1b[31m\u202eimage[bold]\udcff.png").write_bytes(b"x")
    score(tmp_path)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]" in out


def test_what_is_no_chest_gets_no_numbers(score: Callable[..., None], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "noise.png"), np.round(make_non_chest("constant", 1) * 255))
    score(tmp_path / "noise.png", out=tmp_path / "out")
    report = reports(tmp_path / "out")["noise.png"]
    assert report.status != "scored"
    assert report.scores == {}
