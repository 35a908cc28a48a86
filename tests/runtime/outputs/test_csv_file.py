"""The table that grows by a row for every image."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lungsev.runtime.outputs.csv_file import COLUMNS, CsvTable, safe_cell


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_image_gets_a_row_and_the_head_is_written_once(make_scored, skipped, failed, tmp_path: Path) -> None:
    for number, scored in enumerate((make_scored(grades=(0, 1, 2, 3, 2, 1)), skipped, failed)):
        table = CsvTable().write(scored, tmp_path / f"image{number}.csv")
    found = rows(table)
    assert [row["image"] for row in found] == ["image0", "image1", "image2"]
    assert [row["status"] for row in found] == ["scored", "skipped", "failed"]
    assert found[0]["total"] == "9"
    assert found[0]["grades"] == "A:0 B:1 C:2 D:3 E:2 F:1"
    assert found[1]["total"] == found[2]["total"] == found[1]["grades"] == ""
    assert (found[1]["reason"], found[2]["reason"]) == ("not_frontal_chest", "truncated")
    assert tuple(found[0]) == COLUMNS


def test_writing_an_image_again_adds_nothing(make_scored, tmp_path: Path) -> None:
    for _ in range(2):
        table = CsvTable().write(make_scored(), tmp_path / "image.csv")
    assert len(rows(table)) == 1


def test_a_row_cut_off_by_a_power_loss_is_replaced(make_scored, tmp_path: Path) -> None:
    table = CsvTable().write(make_scored(), tmp_path / "image0.csv")
    whole = table.read_bytes()
    CsvTable().write(make_scored(), tmp_path / "image1.csv")
    table.write_bytes(table.read_bytes()[:-30])
    CsvTable().write(make_scored(), tmp_path / "image2.csv")
    assert table.read_bytes().startswith(whole)
    assert [row["image"] for row in rows(table)] == ["image0", "image2"]


def test_a_full_disk_leaves_the_table_as_it_was(make_scored, tmp_path: Path, monkeypatch: Any) -> None:
    table = CsvTable().write(make_scored(), tmp_path / "image0.csv")
    before = table.read_bytes()

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        CsvTable().write(make_scored(), tmp_path / "image1.csv")
    assert table.read_bytes() == before


@pytest.mark.parametrize("payload", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\x1b[31m=1", "\u202e=1", "=1\n=2"])
def test_formulas_and_control_characters_are_made_harmless(make_scored, tmp_path: Path, payload: str) -> None:
    scored = make_scored()
    report = replace(scored.report, image=replace(scored.report.image, patient_id=payload))
    table = CsvTable().write(replace(scored, report=report), tmp_path / "image.csv")
    (row,) = rows(table)
    assert not row["patient_id"].startswith(("=", "+", "-", "@", "\t"))
    assert row["patient_id"].isprintable()


def test_plain_cells_stay_as_they_are() -> None:
    assert safe_cell("Müller, 3") == "Müller, 3"
