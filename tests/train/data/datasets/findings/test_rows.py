"""Rows of a dataset of findings: what is said, what is not, and which rows are no images."""

from __future__ import annotations

import gzip
from pathlib import Path

from lungsev.train.data.datasets.findings.rows import FindingsRows, header_of, listed_findings, stated_findings


def test_what_is_not_mentioned_is_unknown_unless_the_image_has_no_finding() -> None:
    assert stated_findings({"Edema": "1.0", "Pneumonia": "-1.0", "Fracture": "0.0", "Hernia": ""}) == {
        "Edema": 1,
        "Pneumonia": -1,
        "Fracture": 0,
    }
    clear = stated_findings({"No Finding": "1.0", "Edema": "", "Support Devices": ""})
    assert clear == {"No Finding": 1, "Edema": 0}
    assert listed_findings(["Edema", "", "No Finding"]) == {"Edema": 1}


def test_rows_that_are_no_frontal_image_with_a_finding_are_counted(tmp_path: Path) -> None:
    rows = FindingsRows("some", tmp_path)
    file = tmp_path / "a.png"
    rows.add("a", file, "p1", {"Edema": 1}, "AP_horizontal", "train")
    rows.add("b", file, "", {"Edema": 0})
    rows.add("c", file, "p1", {"Edema": 1}, "LL")
    rows.add("d", None, "p1", {"Edema": 1}, "PA")
    rows.add("e", file, "p1", {}, "PA")
    dataset = rows.dataset(("of the table",))
    kept = [(image.name, image.patient, image.part) for image in dataset.images]
    assert kept == [("a", "p1", "train"), ("b", "b", "")]
    assert dataset.problems == (
        "of the table",
        "images whose view is not said to be frontal, left out: 1 (c)",
        "images without a file, left out: 1 (d)",
        "images of which no finding is said, left out: 1 (e)",
        "images without a patient, each counted as a patient of its own: 1 (b)",
    )


def test_a_header_is_read_without_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffPath;Sex\nx;y\n", encoding="utf-8")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"Path,Sex\nx,y\n"))
    (tmp_path / "c.csv").write_text("sep=;\nPath;Sex\nx;y\n", encoding="utf-16")
    assert [header_of(tmp_path / name) for name in ("a.csv", "b.csv.gz", "c.csv")] == [["path", "sex"]] * 3
    assert header_of(tmp_path / "absent.csv") == header_of(tmp_path) == []
