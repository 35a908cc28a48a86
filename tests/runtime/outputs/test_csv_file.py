"""The table that grows by a row for every image."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from standing_reports import SIGNER, STOP, in_state

from lungsev.patient import PatientInfo
from lungsev.runtime.outputs.csv_file import COLUMNS, CsvTable, safe_cell
from lungsev.system import lock_file, write_atomically


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


def test_an_amended_result_replaces_the_images_rows_and_no_others(make_scored, tmp_path: Path) -> None:
    for name in ("image0", "image", "image2"):
        table = CsvTable().write(in_state(make_scored(grades=(0, 1, 2, 3, 2, 1))), tmp_path / f"{name}.csv")
    others = [row for row in rows(table) if row["image"] != "image"]
    CsvTable().write(in_state(make_scored(grades=(0, 1, 2, 3, 2, 1)), "corrected", stop=STOP), tmp_path / "image.csv")
    found = rows(table)
    assert [row["image"] for row in found] == ["image0", "image", "image2"]
    assert [row for row in found if row["image"] != "image"] == others
    amended = found[1]
    assert (amended["total"], amended["grades"]) == ("12", "A:3 B:3 C:3 D:3 E:0 F:0")
    assert (amended["model_total"], amended["model_grades"]) == ("9", "A:0 B:1 C:2 D:3 E:2 F:1")
    assert (amended["total_low"], amended["total_high"]) == ("", "")
    assert (amended["standing"], amended["revision"], amended["signed_by"]) == ("corrected", "2", SIGNER)
    assert (amended["change"], amended["change_percent"], amended["stop"]) == ("probably worse, 92 %", "92", STOP)
    assert (amended["issuer"], amended["accession_number"]) == ("HOSP-A", "ACC-1")
    assert (amended["acquired_at"], amended["acquired_precision"]) == ("2026-11-22T08:15:30", "second")
    assert amended["acquired_offset"] == "UTC+01:00"


def test_a_scheme_more_or_less_leaves_a_row_for_each(make_scored, tmp_path: Path) -> None:
    one, other = make_scored(), make_scored(scheme="inha")
    both = replace(one, report=replace(one.report, scores={**one.report.scores, **other.report.scores}))
    for scored, schemes in ((both, ["brixia", "inha"]), (one, ["brixia"]), (both, ["brixia", "inha"])):
        table = CsvTable().write(scored, tmp_path / "image.csv")
        assert [row["scheme"] for row in rows(table)] == schemes


def test_the_table_holds_no_name_and_no_birth_date(make_scored, tmp_path: Path) -> None:
    text = CsvTable().write(in_state(make_scored()), tmp_path / "image.csv").read_text(encoding="utf-8")
    assert "Yamada" not in text
    assert "1950" not in text
    assert "4711" in text


def test_ids_that_differ_in_what_cannot_be_printed_stay_different(make_scored, tmp_path: Path) -> None:
    for number, patient in enumerate(("12\\34", "1\x1b2", "1\u200b2", "12")):
        scored = make_scored()
        report = replace(scored.report, patient=PatientInfo(id=patient))
        table = CsvTable().write(replace(scored, report=report), tmp_path / f"image{number}.csv")
    assert [row["patient_id"] for row in rows(table)] == ["12\\34", "1\\x1b2", "1\\u200b2", "12"]


def test_a_table_with_fewer_columns_gets_the_present_ones(make_scored, tmp_path: Path, caplog: Any) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("image,status,total,disclaimer\nold,scored,7,none\nimage,scored,3,none\n")
    with caplog.at_level("INFO"):
        CsvTable().write(make_scored(grades=(0, 1, 2, 3, 2, 1)), tmp_path / "image.csv")
    found = rows(table)
    assert tuple(found[0]) == COLUMNS
    assert [(row["image"], row["total"], row["standing"]) for row in found] == [
        ("old", "7", ""),
        ("image", "9", "model"),
    ]
    assert "had 4 columns" in caplog.text


def test_a_table_with_other_columns_is_put_aside(make_scored, tmp_path: Path, caplog: Any) -> None:
    table = tmp_path / "scores.csv"
    for number in (1, 2):
        table.write_text(f"mine,{number}\na,b\n")
        CsvTable().write(make_scored(), tmp_path / "image.csv")
        assert (tmp_path / f"scores-before-{number}.csv").read_text() == f"mine,{number}\na,b\n"
        assert [row["image"] for row in rows(table)] == ["image"]
    assert "kept as scores-before-2.csv" in caplog.text


def test_a_writer_that_waited_sees_the_table_that_another_has_replaced(make_scored, tmp_path: Path) -> None:
    """A table is replaced by a new file: whoever waits for the lock of the old one must not write to that."""
    table = CsvTable().write(make_scored(), tmp_path / "image.csv")
    threads = []
    with table.open("r+b") as stream:
        lock_file(stream, wait=True)
        for number in range(3):
            threads.append(Thread(target=CsvTable().write, args=(make_scored(), tmp_path / f"late{number}.csv")))
            threads[-1].start()
        write_atomically(table, table.read_bytes())
    for thread in threads:
        thread.join(20)
    assert sorted(row["image"] for row in rows(table)) == ["image", "late0", "late1", "late2"]


@pytest.mark.parametrize("payload", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\x1b[31m=1", "\u202e=1", "=1\n=2"])
def test_formulas_and_control_characters_are_made_harmless(make_scored, tmp_path: Path, payload: str) -> None:
    scored = make_scored()
    report = replace(scored.report, patient=PatientInfo(id=payload))
    table = CsvTable().write(replace(scored, report=report), tmp_path / "image.csv")
    (row,) = rows(table)
    assert not row["patient_id"].startswith(("=", "+", "-", "@", "\t"))
    assert row["patient_id"].isprintable()


def test_plain_cells_stay_as_they_are() -> None:
    assert safe_cell("Müller, 3") == "Müller, 3"
