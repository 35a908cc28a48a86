"""Tables are written byte for byte as asked."""

from __future__ import annotations

from pathlib import Path

from lungsev.phantom.datasets.files import make_folders, write_table


def test_a_table_has_its_comment_delimiter_line_ends_and_mark(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(path, ("a", "b"), [(1, "x;y")], delimiter=";", bom=True, line_end="\r\n", comment=("## note",))
    assert path.read_bytes() == b'\xef\xbb\xbf## note\r\na;b\r\n1;"x;y"\r\n'


def test_a_plain_table_is_plain(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", ("a", "b"), [(1, 2), (3, 4)])
    assert (tmp_path / "table.csv").read_bytes() == b"a,b\n1,2\n3,4\n"


def test_folders_are_made_with_their_parents_and_a_second_time_left_alone(tmp_path: Path) -> None:
    for _ in range(2):
        deep, flat = make_folders(tmp_path, "a/b", "c")
        assert deep.is_dir()
        assert flat.is_dir()
