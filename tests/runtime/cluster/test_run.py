from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_runs import BUNDLE, score, table
from bedside_images import QuickModel, png
from web_server import Web

from lungsev.errors import BackendError, LungsevError, UnreadableImageError
from lungsev.runtime.cluster.dicomweb import Access, DicomWeb
from lungsev.runtime.cluster.files import LocalFiles, RemoteFiles
from lungsev.runtime.cluster.run import Summary, ThreadPool, run_archive
from lungsev.runtime.cluster.sources import Item

pytest.importorskip("pyarrow", reason="the extra cluster is not installed")


def test_every_image_has_one_row_and_the_summary_counts_them(archive: Path, tmp_path: Path) -> None:
    (archive / "letter.txt").write_bytes(b"Dear colleague")
    out = tmp_path / "out"
    summary = score([LocalFiles(archive, out)], out)
    assert sorted(Path(row["source"]).name for row in table(out)) == [f"{n}.png" for n in range(5)] + ["letter.txt"]
    assert (summary.images, summary.scored, summary.failed) == (6, 5, {"unknown_format": 1})
    told = summary.to_dict()
    assert (told["scored"], told["skipped"], told["failed"], told["done_before"]) == (5, {}, {"unknown_format": 1}, 0)
    assert told["images_per_second"] > 0


def test_a_second_run_scores_what_is_new_what_changed_and_what_failed(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = QuickModel(failures={png(1): lambda: UnreadableImageError("truncated", "The file ends early.")})
    score([LocalFiles(archive)], out, broken)
    (archive / "0.png").write_bytes(png(100, side=9))
    (archive / "new.png").write_bytes(png(101))
    model = QuickModel()
    summary = score([LocalFiles(archive)], out, model)
    assert sorted(path.name for path in model.seen) == ["0.png", "1.png", "new.png"]
    assert (summary.scored, summary.done) == (3, 3)
    rows = table(out)
    assert len(rows) == len({row["source"] for row in rows}) == 6
    assert {row["status"] for row in rows} == {"scored"}


def test_a_finished_archive_starts_no_worker(archive: Path, tmp_path: Path) -> None:
    score([LocalFiles(archive)], tmp_path)

    def no_model() -> QuickModel:
        raise AssertionError("opened")

    sources = [LocalFiles(archive)]
    summary = run_archive(sources, ThreadPool(sources, no_model, 1), tmp_path, BUNDLE)
    assert (summary.images, summary.done, summary.images_per_second) == (0, 5, 0.0)


def test_an_image_of_two_sources_is_scored_once(archive: Path, tmp_path: Path) -> None:
    summary = score([LocalFiles(archive), LocalFiles(archive / "deep")], tmp_path / "out")
    assert (summary.scored, summary.repeated) == (5, 2)
    assert len(table(tmp_path / "out")) == 5


def test_fresh_scores_again_and_replaces(archive: Path, tmp_path: Path) -> None:
    score([LocalFiles(archive)], tmp_path / "out")
    summary = score([LocalFiles(archive)], tmp_path / "out", QuickModel(grade=2), fresh=True)
    assert (summary.scored, summary.done) == (5, 0)
    assert [row["total"] for row in table(tmp_path / "out")] == [2] * 5


def test_a_run_that_breaks_keeps_what_was_finished_and_the_next_one_continues(archive: Path, tmp_path: Path) -> None:
    answers = iter([None, None, BackendError("the GPU stopped")])
    with pytest.raises(BackendError, match="the GPU stopped"):
        score([LocalFiles(archive)], tmp_path, QuickModel(score_error=lambda radiograph: next(answers)))
    kept = len(table(tmp_path))
    assert kept == 2
    summary = score([LocalFiles(archive)], tmp_path)
    assert (summary.scored, summary.done) == (5 - kept, kept)
    assert len(table(tmp_path)) == 5


def test_rows_are_written_in_parts_while_the_run_goes_on(archive: Path, tmp_path: Path) -> None:
    sources = [LocalFiles(archive)]
    seen = []
    run_archive(
        sources, ThreadPool(sources, QuickModel, 1), tmp_path, BUNDLE, part_rows=2,
        on_progress=lambda summary: seen.append(len(list(tmp_path.glob("*.parquet")))),
    )  # fmt: skip
    assert seen == [0, 0, 1, 1, 2]
    assert [path.name for path in sorted(tmp_path.glob("*.parquet"))] == [f"part-00000{n}.parquet" for n in (1, 2, 3)]


def test_the_listing_does_not_run_away_from_the_scoring(tmp_path: Path) -> None:
    """A listing without an end: what waits between it and the scoring is bounded."""
    listed, most = [0], []

    class Endless:
        name, left_out = "endless", Counter[str]()

        def images(self) -> Iterator[Item]:
            while True:
                listed[0] += 1
                yield Item(f"endless/{listed[0]}", "")

        def fetch(self, item: Item, most_bytes: int) -> bytes:
            return png(1)

    def stop(summary: Summary) -> None:
        most.append(listed[0] - summary.images)
        if summary.images == 20:
            raise KeyboardInterrupt

    sources = [Endless()]
    pool = ThreadPool(sources, QuickModel, 1)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        run_archive(sources, pool, tmp_path, BUNDLE, on_progress=stop)  # type: ignore[arg-type]
    assert max(most) < 2100
    assert len(table(tmp_path)) >= 20


def test_a_source_that_is_not_there_is_said_after_the_others_are_done(archive: Path, tmp_path: Path) -> None:
    summary = score([LocalFiles(tmp_path / "absent"), LocalFiles(archive)], tmp_path / "out")
    assert summary.scored == 5
    assert summary.errors == [f"no such file or folder: {tmp_path}/absent; check the path"]


def test_a_store_is_scored_as_a_folder_is(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra cluster is not installed")
    store = fsspec.filesystem("memory")
    for number in range(3):
        store.pipe(f"/archive/{number}.png", png(number))
    try:
        assert score([RemoteFiles("memory://archive")], tmp_path).scored == 3
        store.pipe("/archive/1.png", png(7))
        summary = score([RemoteFiles("memory://archive")], tmp_path)
        assert (summary.scored, summary.done) == (1, 2)
        assert len(table(tmp_path)) == 3
    finally:
        store.rm("/archive", recursive=True)


def test_a_dicomweb_server_is_scored_as_a_folder_is(web: Web, tmp_path: Path) -> None:
    def answer(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        if path.endswith("/instances"):
            uids = range(int(query["offset"]), 3) if query["Modality"] == "DX" else ()
            tags = ("0020000D", "0020000E", "00080018")
            return 200, json.dumps([{tag: {"Value": [f"1.2.{uid}"]} for tag in tags} for uid in uids]).encode()
        return 200, png(int(path.rpartition(".")[2]))

    web.answer_to, web.headers = answer, {"Content-Type": "application/dicom"}
    source = DicomWeb(web.url, Access())
    assert score([source], tmp_path).scored == 3
    assert [row["source"] for row in table(tmp_path)] == [
        f"dicomweb+{web.url}/studies/1.2.{uid}/series/1.2.{uid}/instances/1.2.{uid}" for uid in range(3)
    ]
    assert score([source], tmp_path).done == 3


def test_a_folder_of_results_that_another_run_uses_is_left_alone(archive: Path, tmp_path: Path) -> None:
    from lungsev.runtime.cluster.parts import ResultFolder

    with ResultFolder(tmp_path), pytest.raises(LungsevError, match="another run"):
        score([LocalFiles(archive)], tmp_path)


KILLED_RUN = """
import sys, time
from pathlib import Path
from archive_runs import BUNDLE
from bedside_images import QuickModel
from lungsev.runtime.cluster.files import LocalFiles
from lungsev.runtime.cluster.run import ThreadPool, run_archive

def score_error(radiograph):
    time.sleep(0.01)

sources = [LocalFiles(Path(sys.argv[1]))]
pool = ThreadPool(sources, lambda: QuickModel(score_error=score_error), 2)
run_archive(sources, pool, Path(sys.argv[2]), BUNDLE, part_rows=5)
"""


@pytest.mark.faults
def test_a_run_that_is_killed_again_and_again_loses_no_image_and_counts_none_twice(tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for number in range(200):
        (archive / f"{number}.png").write_bytes(png(number))
    command = [sys.executable, "-c", KILLED_RUN, str(archive), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = 0
    for _ in range(4):
        run = subprocess.Popen(command, env=environment)
        while run.poll() is None and (len(table(out)) if out.exists() else 0) < done + 20:
            time.sleep(0.01)
        run.kill()
        run.wait()
        sources = [row["source"] for row in table(out)]
        assert len(sources) == len(set(sources)) >= done + 20
        done = len(sources)
    assert done < 200
    summary = score([LocalFiles(archive)], out)
    assert (summary.scored, summary.done) == (200 - done, done)
    assert len(table(out)) == 200
    assert all(path.name.startswith("part-") for path in out.iterdir())
