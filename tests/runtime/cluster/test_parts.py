from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest
from bedside_images import MODEL, QuickModel, png

from lungsev import __version__
from lungsev.errors import FolderLockedError, LungsevError, MissingExtraError
from lungsev.report import SeverityReport
from lungsev.runtime.cluster import parts as parts_module
from lungsev.runtime.cluster.index import Index
from lungsev.runtime.cluster.parts import ResultFolder, schema
from lungsev.runtime.cluster.rows import Row, make_row
from lungsev.runtime.cluster.sources import Item

pq = pytest.importorskip("pyarrow.parquet", reason="the extra cluster is not installed")

REPORT = QuickModel().score(png(1))
FAILED = SeverityReport("failed", REPORT.image, MODEL, error="truncated")
BUNDLE = MODEL.bundle_sha256


def rows(*names: str, version: str = "1", report: SeverityReport = REPORT) -> list[Row]:
    return [make_row(Item(name, name, version), report, with_report=True) for name in names]


def write(out: Path, *batches: list[Row]) -> None:
    with ResultFolder(out) as folder, closing(folder.index(BUNDLE)) as index:
        for batch in batches:
            folder.write(batch, index)


def sources(out: Path) -> dict[str, list[str]]:
    return {path.name: pq.ParquetFile(path).read()["source"].to_pylist() for path in sorted(out.glob("*.parquet"))}


def test_a_part_holds_what_was_written_under_the_documented_schema(tmp_path: Path) -> None:
    write(tmp_path / "out", rows("a", "b"))
    part = pq.ParquetFile(tmp_path / "out" / "part-000001.parquet")
    assert part.schema_arrow.equals(schema(), check_metadata=True)
    assert part.schema_arrow.metadata[b"lungsev.version"].decode() == __version__
    assert part.read().to_pylist() == rows("a", "b")


def test_the_documentation_names_every_column() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/cluster.md").read_text(encoding="utf-8")
    assert [name for name in schema().names if f"`{name}`" not in page] == []


def test_a_later_run_adds_parts_and_knows_what_is_done(tmp_path: Path) -> None:
    write(tmp_path, rows("a"), [*rows("b"), *rows("c", report=FAILED)])
    write(tmp_path, rows("d"))
    assert sources(tmp_path) == {
        "part-000001.parquet": ["a"],
        "part-000002.parquet": ["b", "c"],
        "part-000003.parquet": ["d"],
    }
    with ResultFolder(tmp_path) as folder, closing(folder.index(BUNDLE)) as index:
        answers = {name: index.take(Item(name, name, "1")) for name in "abcde"}
    assert answers == {"a": "done", "b": "done", "c": "todo", "d": "done", "e": "todo"}


def test_what_another_model_scored_is_not_done(tmp_path: Path) -> None:
    write(tmp_path, rows("a"))
    with ResultFolder(tmp_path) as folder, closing(folder.index("f" * 64)) as index:
        assert index.take(Item("a", "a", "1")) == "todo"


def test_a_new_row_takes_the_place_of_the_old_one_wherever_it_was(tmp_path: Path) -> None:
    write(tmp_path, rows("a", "b"), rows("c"), rows("d"))
    write(tmp_path, [*rows("b", "c", version="2"), *rows("e")])
    assert sources(tmp_path) == {
        "part-000001.parquet": ["a"],
        "part-000003.parquet": ["d"],
        "part-000004.parquet": ["b", "c", "e"],
    }


@pytest.mark.parametrize("at", [1, 2])
def test_a_crash_between_two_files_never_leaves_two_rows_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    write(tmp_path, rows("a", "b"))
    saves = []
    save = ResultFolder._save

    def crash(folder: ResultFolder, path: Path, table: object) -> None:
        saves.append(path)
        if len(saves) == at:
            raise KeyboardInterrupt
        save(folder, path, table)

    monkeypatch.setattr(ResultFolder, "_save", crash)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, rows("b", version="2"))
    monkeypatch.undo()
    listed = [name for names in sources(tmp_path).values() for name in names]
    assert len(listed) == len(set(listed))
    write(tmp_path, rows("b", version="2"))
    assert sorted(name for names in sources(tmp_path).values() for name in names) == ["a", "b"]


def test_a_run_that_was_killed_while_it_wrote_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, rows("a"))
    (tmp_path / ".0123456789abcdef.part").write_bytes(b"half a part")
    write(tmp_path, rows("b"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-000001.parquet", "part-000002.parquet"]


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with ResultFolder(tmp_path), pytest.raises(FolderLockedError, match="another run writes to"):
        ResultFolder(tmp_path)
    ResultFolder(tmp_path).close()


@pytest.mark.parametrize("content", [b"no Parquet at all", b""])
def test_a_part_that_is_damaged_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part-000007.parquet").write_bytes(content)
    with ResultFolder(tmp_path) as folder, pytest.raises(LungsevError, match=r"cannot read .*part-000007\.parquet"):
        folder.index(BUNDLE)


def test_a_part_of_something_else_is_named(tmp_path: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.table({"source": ["a"]}), tmp_path / "part-000001.parquet")
    with ResultFolder(tmp_path) as folder, pytest.raises(LungsevError, match="expected a part of an earlier run"):
        folder.index(BUNDLE)


def test_a_disk_that_refuses_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts_module, "atomic_file", full)
    with ResultFolder(tmp_path) as folder, pytest.raises(LungsevError, match="No space left on device; what was"):
        folder.write(rows("a"), Index())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_and_a_missing_package_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LungsevError, match=r"cannot use folder .*; choose another --out"):
        ResultFolder(tmp_path / "file" / "out")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"lungsev\[cluster\]"):
        ResultFolder(tmp_path / "out")
    assert os.listdir(tmp_path) == ["file"]
