"""What hospitals, spreadsheets and hurried people do to tables: every oddity is read, left out aloud, or refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.tables import number, read_table

DatasetMaker = Callable[[str], Path]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_line_ends_and_separators_do_not_matter(
    tmp_path: Path, encoding: str, end: str, separator: str
) -> None:
    path = tmp_path / "table.csv"
    text = end.join([separator.join(row) for row in ([" Name ", "grade"], ["Lungenfilm für Müller", "2"], ["", ""])])
    path.write_bytes(text.encode(encoding))
    table = read_table(path, ("name",))
    assert table.rows == ({"name": "Lungenfilm für Müller", "grade": "2"},)


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;"])
def test_the_line_by_which_a_spreadsheet_is_told_the_separator_is_no_header(tmp_path: Path, line: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{line}\nname;remark, by whom\na.png;mild\n")
    assert read_table(path, ("name",)).rows == ({"name": "a.png", "remark, by whom": "mild"},)
    path.write_text(f"{line}\nname;grade\n")
    with pytest.raises(DatasetError, match="only a header row"):
        read_table(path)


def test_rows_have_the_numbers_that_a_spreadsheet_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('sep=;\n# by hand\nname;note\n\na;"two\n\nlines"\n;\nb;x\n')
    table = read_table(path, comment="#")
    assert list(table.numbered()) == [(4, {"name": "a", "note": "two\n\nlines"}), (6, {"name": "b", "note": "x"})]


def test_rows_cut_short_are_filled_and_rows_too_long_are_left_out_aloud(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("image,note,grade\na.png,fine,1\nb.png\nc.png,left, right,2\nd.png,trailing,3,\n")
    table = read_table(path)
    assert [row["image"] for row in table.rows] == ["a.png", "b.png", "d.png"]
    assert table.rows[1] == {"image": "b.png", "note": "", "grade": ""}
    assert table.problems == ("rows of table.csv with more cells than its header, left out: 1 (c.png)",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"image,grade\n", "is only a header row"),
        (b"image,image\na,b\n", "has the column image twice"),
        (b'image,grade\n"a,1\nb,2\n', "stray quotation mark"),
        (b"PK\x03\x04\0\0\0\nxl/workbook.xml\n", "is no text file"),
    ],
)
def test_tables_that_are_none_say_why(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=reason):
        read_table(path)


def test_numbers_are_finite() -> None:
    assert number("1,5") == 1.5
    assert [number(text) for text in ("nan", "inf", "", None, "two")] == [None] * 5


def test_a_header_of_a_million_columns_is_refused_before_it_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{n}" for n in range(1_000_000)) + "\na\n")
    with pytest.raises(DatasetError, match="1000000 columns and 1 rows"):
        read_table(path)


def test_short_rows_are_not_filled_to_billions_of_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.train.data.tables.MOST_CELLS", 300_000)
    path = tmp_path / "long.csv"
    path.write_text(",".join(f"c{n}" for n in range(2000)) + "\n" + "a\n" * 151)
    with pytest.raises(DatasetError, match="2000 columns and 151 rows"):
        read_table(path)


def test_a_few_bytes_of_gzip_do_not_unpack_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.train.data.tables.MOST_BYTES", 1 << 20)
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 18)))
    with pytest.raises(DatasetError, match="unpacks to more than 1 MiB"):
        read_table(path)
