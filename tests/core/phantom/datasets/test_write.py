"""Phantom datasets lie on disk as their originals do, and tell the truth about their images."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from lungsev.errors import DatasetError
from lungsev.phantom import LAYOUTS, write_dataset
from lungsev.phantom.datasets.cohort import draw_cohort, most_frequent, read_lungs, read_quadrants, read_zones
from lungsev.phantom.datasets.mask_layouts import encode_gif

COUNT = 6
SIZE_PX = 96


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("datasets")
    for layout in LAYOUTS:
        if layout != "jsrt":
            write_dataset(root / layout, layout, COUNT, seed=3, size_px=SIZE_PX)
    return {layout: root / layout for layout in LAYOUTS}


def test_brixia_tables_are_written_as_published(folders: dict[str, Path]) -> None:
    raw = (folders["brixia"] / "metadata_global_v2.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfFilename;StudyDate;Modality;Columns;Rows;Manufacturer;")
    assert raw.count(b"\r\n") == raw.count(b"\n") == COUNT + 1
    rows = _rows(folders["brixia"] / "metadata_global_v2.csv", ";")
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
        for row in _rows(folders["brixia"] / "metadata_global_v2.csv", ";")
        if row["ConsensusTestset"] == "1"
    ]
    consensus = _rows(folders["brixia"] / "metadata_consensus_v1.csv")
    assert sorted(row["Filename"] for row in consensus) == sorted(flagged)
    assert 0 < len(flagged) < COUNT
    for row in consensus:
        assert all(row[f"Mode{zone}"] in "0123" for zone in "ABCDEF")
        assert all(0 <= float(row[f"Mean{zone}"]) <= 3 for zone in "ABCDEF")


def test_inha_names_its_radiographs_and_grades_quadrants_from_1_to_5(folders: dict[str, Path]) -> None:
    rows = _rows(folders["inha"] / "inha.csv")
    assert all((folders["inha"] / "images" / f"{row['image_id']}.png").is_file() for row in rows)
    assert {int(row[code]) for row in rows for code in ("RT", "RB", "LT", "LB")} <= {1, 2, 3, 4, 5}


def test_cohen_subset_has_two_readers_and_odd_files(folders: dict[str, Path]) -> None:
    rows = _rows(folders["cohen"] / "public-annotations.csv")
    assert list(rows[0]) == ["filename", *(f"{r}-{z}" for r in "SJ" for z in (*"ABCDEF", "Global"))]
    names = [row["filename"] for row in rows]
    assert any(" " in name for name in names)
    assert any(name.endswith(".JPG") for name in names)
    shapes = {_decode(folders["cohen"] / "public-cohen-subset" / name).shape[2:] for name in names}
    assert shapes == {(), (3,), (4,)}
    for row in rows:
        assert sum(int(row[f"S-{zone}"]) for zone in "ABCDEF") == int(row["S-Global"])
    assert [row["filename"] for row in _rows(folders["cohen"] / "patients.csv")] == names


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
    assert len(rows) == COUNT
    assert all(0 <= float(row["geographic_mean"]) <= 8 and 0 <= float(row["opacity_mean"]) <= 6 for row in rows)


def test_lung_pairs_hold_both_lungs_of_radiographs_of_equal_size(folders: dict[str, Path]) -> None:
    rows = _rows(folders["lungs"] / "index.csv")
    assert list(rows[0]) == ["stem", "patient", "view", "finding"]
    for row in rows:
        mask = _decode(folders["lungs"] / "masks" / f"{row['stem']}.png")
        radiograph = _decode(folders["lungs"] / "images" / f"{row['stem']}.jpg")
        assert set(np.unique(mask)) == {0, 1, 2}
        assert mask.shape == radiograph.shape


def test_v7_polygons_enclose_the_lungs_of_the_pairs(folders: dict[str, Path]) -> None:
    """Both layouts come from one cohort when the seed is one."""
    pair = _rows(folders["lungs"] / "index.csv")[0]["stem"]
    mask = _decode(folders["lungs"] / "masks" / f"{pair}.png") > 0
    document = json.loads((folders["v7"] / "annotations" / "0001.json").read_text(encoding="utf-8"))
    drawn = np.zeros((document["image"]["height"], document["image"]["width"]), np.uint8)
    for annotation in document["annotations"]:
        if annotation["name"] == "Lung":
            path = np.array([[point["x"], point["y"]] for point in annotation["polygon"]["path"]])
            cv2.fillPoly(drawn, [path], 1)
    overlap = (mask & (drawn > 0)).sum() / (mask | (drawn > 0)).sum()
    assert overlap > 0.97


def test_montgomery_and_shenzhen_masks_leave_the_heart_out(folders: dict[str, Path]) -> None:
    radiographs = sorted((folders["montgomery"] / "CXR_png").iterdir())
    assert len(radiographs) == COUNT
    sums = np.zeros(2)
    for path in radiographs:
        left = _decode(folders["montgomery"] / "ManualMask" / "leftMask" / path.name)
        right = _decode(folders["montgomery"] / "ManualMask" / "rightMask" / path.name)
        assert set(np.unique(left)) <= {0, 255}
        assert not (left & right).any()
        sums += np.array([left.sum(), right.sum()], dtype=np.float64)
    assert sums[0] < sums[1], "the heart takes from the left lung"
    for path in (folders["shenzhen"] / "CXR_png").iterdir():
        assert _decode(folders["shenzhen"] / "mask" / f"{path.stem}_mask.png").any()


@pytest.mark.slow
def test_jsrt_radiographs_are_raw_and_inverted(tmp_path: Path) -> None:
    write_dataset(tmp_path / "jsrt", "jsrt", 1, seed=3)
    (path,) = (tmp_path / "jsrt").glob("*.IMG")
    stored = np.frombuffer(path.read_bytes(), ">u2").reshape(2048, 2048)
    assert stored.max() <= 4095
    assert (tmp_path / "jsrt" / "fold1" / "masks" / "left lung" / f"{path.stem}.gif").is_file()
    right = _gif((tmp_path / "jsrt" / "fold1" / "masks" / "right lung" / f"{path.stem}.gif").read_bytes())
    lungs = cv2.resize(right, (2048, 2048), interpolation=cv2.INTER_NEAREST) > 0
    assert stored[lungs].mean() > stored[~lungs].mean(), "lungs are dark on image and high in the file"


def test_gif_holds_the_mask() -> None:
    mask = (np.random.default_rng(1).random((37, 301)) > 0.5).astype(np.uint8)
    np.testing.assert_array_equal(_gif(encode_gif(mask)) > 0, mask > 0)


def test_cohort_is_like_a_hospital_series() -> None:
    radiographs = draw_cohort(60, seed=5)
    assert len(radiographs) == 60
    per_patient = Counter(radiograph.patient for radiograph in radiographs)
    assert 1 in per_patient.values()
    assert max(per_patient.values()) > 1
    for earlier, later in itertools.pairwise(radiographs):
        if earlier.patient == later.patient:
            assert earlier.acquired_at < later.acquired_at
    assert {grade for radiograph in radiographs for grade in radiograph.truth} == {0, 1, 2, 3}


def test_readers_agree_about_as_often_as_radiologists_do() -> None:
    radiographs = draw_cohort(150, seed=8)
    senior, junior = (np.array([read_zones(radiograph, reader) for radiograph in radiographs]) for reader in (0, 1))
    agreement = float((senior == junior).mean())
    assert 0.5 < agreement < 0.75
    assert np.abs(senior - junior).mean() < 0.6
    assert {grade for radiograph in radiographs for grade in read_quadrants(radiograph, 0)} == {1, 2, 3, 4, 5}
    assert {grade for radiograph in radiographs for pair in read_lungs(radiograph, 0) for grade in pair} == {
        0,
        1,
        2,
        3,
        4,
    }
    assert most_frequent([2, 1, 1, 2, 0]) == 1


def test_same_seed_writes_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", "brixia", COUNT, seed=3, size_px=SIZE_PX)
    for path in (folders["brixia"]).rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folders["brixia"])).read_bytes() == path.read_bytes()


def test_progress_counts_every_radiograph(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(
        tmp_path / "inha", "inha", 3, progress=lambda done, total: seen.append((done, total)), size_px=SIZE_PX
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unknown; there are brixia"):
        write_dataset(tmp_path / "x", "bricks", 1)
    with pytest.raises(DatasetError, match="at least 1"):
        write_dataset(tmp_path / "x", "inha", 0)
    with pytest.raises(DatasetError, match="one size only"):
        write_dataset(tmp_path / "x", "jsrt", 1, size_px=64)
    (tmp_path / "file").write_text("something")
    with pytest.raises(DatasetError, match="is not empty"):
        write_dataset(tmp_path, "inha", 1)


def _rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def _decode(path: Path) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)


def _gif(data: bytes) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(data)).convert("L"))
