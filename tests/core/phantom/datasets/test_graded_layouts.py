"""Layouts with grades are files and tables as the originals publish them."""

from __future__ import annotations

import csv
from pathlib import Path

import pydicom
from phantom_files import DATASET_COUNT, decode_image, read_rows


def test_brixia_tables_are_written_as_published(folders: dict[str, Path]) -> None:
    raw = (folders["brixia"] / "metadata_global_v2.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfFilename;StudyDate;Modality;Columns;Rows;Manufacturer;")
    assert raw.count(b"\r\n") == raw.count(b"\n") == DATASET_COUNT + 1
    rows = read_rows(folders["brixia"] / "metadata_global_v2.csv", ";")
    assert list(rows[0])[-7:] == [
        "BrixiaScore",
        "BrixiaScoreGlobal",
        "ConsensusTestset",
        "Subject",
        "StudyId",
        "Sex",
        "AgeAtStudyDateFiveYear",
    ]
    for row in rows:
        assert len(row["BrixiaScore"]) == 6
        assert sum(int(digit) for digit in row["BrixiaScore"]) == int(row["BrixiaScoreGlobal"])
        radiograph = pydicom.dcmread(folders["brixia"] / "dicom_clean" / row["Filename"])
        assert (radiograph.Rows, radiograph.Columns) == (int(row["Rows"]), int(row["Columns"]))
        assert radiograph.PhotometricInterpretation == row["PhotometricInterpretation"]
        assert (radiograph.Modality, radiograph.Manufacturer) == (row["Modality"], row["Manufacturer"])
        assert radiograph.StudyDate == row["StudyDate"]


def test_brixia_consensus_is_the_flagged_radiographs_read_by_five(folders: dict[str, Path]) -> None:
    flagged = [
        row["Filename"]
        for row in read_rows(folders["brixia"] / "metadata_global_v2.csv", ";")
        if row["ConsensusTestset"] == "1"
    ]
    consensus = read_rows(folders["brixia"] / "metadata_consensus_v1.csv")
    assert sorted(row["Filename"] for row in consensus) == sorted(flagged)
    assert 0 < len(flagged) < DATASET_COUNT
    for row in consensus:
        assert all(row[f"Mode{zone}"] in "0123" for zone in "ABCDEF")
        assert all(0 <= float(row[f"Mean{zone}"]) <= 3 for zone in "ABCDEF")


def test_inha_names_its_radiographs_and_grades_quadrants_from_1_to_5(folders: dict[str, Path]) -> None:
    rows = read_rows(folders["inha"] / "inha.csv")
    assert all((folders["inha"] / "images" / f"{row['image_id']}.png").is_file() for row in rows)
    assert {int(row[code]) for row in rows for code in ("RT", "RB", "LT", "LB")} <= {1, 2, 3, 4, 5}


def test_cohen_subset_has_two_readers_and_odd_files(folders: dict[str, Path]) -> None:
    rows = read_rows(folders["cohen"] / "public-annotations.csv")
    assert list(rows[0]) == ["filename", *(f"{r}-{z}" for r in "SJ" for z in (*"ABCDEF", "Global"))]
    names = [row["filename"] for row in rows]
    assert any(" " in name for name in names)
    assert any(name.endswith(".JPG") for name in names)
    shapes = {decode_image(folders["cohen"] / "public-cohen-subset" / name).shape[2:] for name in names}
    assert shapes == {(), (3,), (4,)}
    for row in rows:
        assert sum(int(row[f"S-{zone}"]) for zone in "ABCDEF") == int(row["S-Global"])
    assert [row["filename"] for row in read_rows(folders["cohen"] / "patients.csv")] == names


def test_ralo_has_two_header_rows_and_radiographs_named_after_their_row(folders: dict[str, Path]) -> None:
    lines = list(csv.reader((folders["ralo"] / "ralo-dataset-metadata.csv").read_text(encoding="utf-8").splitlines()))
    assert lines[0][2:9:6] == ["Reader 1", "Reader 2"]
    assert lines[1].count("Total GEOGRAPHIC") == lines[1].count("Total OPACITY") == 2
    for index, record in enumerate(lines[2:]):
        assert (folders["ralo"] / "CXR_images_scored" / f"{index}.jpg").is_file()
        right, left, total = (int(value) for value in record[2:5])
        assert right + left == total <= 8


def test_severity_scores_begin_with_comment_lines(folders: dict[str, Path]) -> None:
    lines = (folders["severity"] / "annotations" / "covid-severity-scores.csv").read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("##")]
    assert lines[: len(comments)] == comments
    rows = list(csv.DictReader(lines[len(comments) :]))
    assert len(rows) == DATASET_COUNT
    assert all(0 <= float(row["geographic_mean"]) <= 8 and 0 <= float(row["opacity_mean"]) <= 6 for row in rows)
