"""A clone of the image data collection beside a dataset."""

from __future__ import annotations

from pathlib import Path

from lungsev.train.data.datasets.collection import collection_near


def test_a_clone_beside_the_dataset_says_patient_view_and_finding(tmp_path: Path) -> None:
    clone, dataset = tmp_path / "clone", tmp_path / "dataset"
    (clone / "images").mkdir(parents=True)
    dataset.mkdir()
    rows = ["filename,patientid,VIEW,finding", "a.png,3,AP,Pneumonia/Viral/COVID-19", "b.png,,PA,"]
    (clone / "metadata.csv").write_text("\n".join(rows))
    found = collection_near(dataset)
    assert found is not None
    assert found.images == clone / "images"
    assert found.people == {"a.png": {"patient": "C3", "view": "AP", "finding": "COVID-19"}}


def test_a_table_without_images_is_no_clone(tmp_path: Path) -> None:
    dataset = tmp_path / "study" / "dataset"
    dataset.mkdir(parents=True)
    (dataset / "metadata.csv").write_text("filename,patientid\na.png,3\n")
    assert collection_near(dataset) is None
