"""Cohen's severity scores: one mean of raters per image, below comment lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.cohen_severity import load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "severity"  # the loaders of other tests look for a clone beside their tmp_path
    (root / "images").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        (root / "images" / name).touch()
    (root / "covid-severity-scores.csv").write_text(
        "## scores of three raters\nfilename,geographic_mean,opacity_mean\n"
        "a.png,5.33,2.5\nb.png,8,6\nc.png,8.5,1\nd.png,1,1\n"
    )
    return root


def test_the_scheme_chooses_the_measure(root: Path) -> None:
    assert {image.name: image.readings for image in load(root).images} == {
        "a.png": {"raters": (5.33,)},
        "b.png": {"raters": (8.0,)},
    }
    assert [image.reference for image in load(root, "opacity").images] == [(2.5,), (6.0,), (1.0,)]


def test_scores_out_of_range_and_missing_images_are_named(root: Path) -> None:
    assert load(root).problems == (
        "images of covid-severity-scores.csv without a file in images/: 1 (d.png)",
        "rows of covid-severity-scores.csv without a score of 0-8, left out: 1 (c.png)",
        "images without a patient, each counted as a patient of its own: 4 (a.png, b.png, c.png, ...)",
    )


def test_patients_come_from_the_metadata_and_views_from_the_index(root: Path) -> None:
    (root / "metadata.csv").write_text("filename,patientid\na.png,17\nb.png,nan\n")
    (root / "index.csv").write_text("stem,view\na,AP\n")
    first, second = load(root).images
    assert (first.patient, first.view_position) == ("17", "AP")
    assert (second.patient, second.view_position) == ("b.png", "")


def test_a_table_without_the_measure_is_refused(root: Path) -> None:
    (root / "covid-severity-scores.csv").write_text("filename,opacity_mean\na.png,1\n")
    with pytest.raises(DatasetError, match="lacks the column geographic_mean; it has filename, opacity_mean"):
        load(root)
    (root / "covid-severity-scores.csv").unlink()
    with pytest.raises(DatasetError, match=r"holds no \*severity-scores\.csv"):
        load(root)
