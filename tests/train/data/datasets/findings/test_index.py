"""A plain index of findings, as the public subset of NIH ChestX-ray14 has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_all, load_labelled


def test_an_index_with_findings_is_a_dataset_and_radiologists_columns_count(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in "abcd":
        (tmp_path / "images" / f"{name}.jpg").touch()
    rows = [
        "a.jpg,P1,AP,Edema|Pneumonia,YES,Lung Opacity",
        "b.jpg,P2,PA,No Finding,,Normal",
        "c.jpg,P3,LATERAL,Edema,,",
        "d.jpg,P4,PA,,NO,No Lung Opacity / Not Normal",
    ]
    columns = "film,patient,view,finding,radiologists_airspace_opacity,rsna_class"
    (tmp_path / "index.csv").write_text("\n".join([columns, *rows]))
    dataset = load_labelled(tmp_path)
    assert [found.name for found in load_all(tmp_path)] == ["findings"]
    ill, clear, opacity = (dict(image.findings) for image in dataset.images)  # type: ignore[union-attr]
    assert ill == {"Edema": 1, "Pneumonia": 1, "Lung Opacity": 1, "Airspace Opacity": 1}
    assert clear == {"Edema": 0, "Pneumonia": 0, "Lung Opacity": 0}
    assert opacity == {"Lung Opacity": 0, "Airspace Opacity": 0, "Pneumonia": 0}


def test_radiologists_go_before_findings_mined_from_reports(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in "abcd":
        (tmp_path / "images" / f"{name}.jpg").touch()
    rows = [
        "a.jpg,Edema|Pneumonia|Infiltration,Normal,,1",
        "b.jpg,Edema|Infiltration,Lung Opacity,,2",
        "c.jpg,Edema|Infiltration|Pneumonia,No Lung Opacity / Not Normal,,",
        "d.jpg,Edema,,1,",
    ]
    (tmp_path / "index.csv").write_text("\n".join(["film,finding,rsna_class,opacification,day_offset", *rows]))
    clear, opaque, other, plain = load_labelled(tmp_path).images
    assert dict(clear.findings) == {"Edema": 0, "Pneumonia": 0, "Infiltration": 0, "Lung Opacity": 0}  # type: ignore[union-attr]
    assert dict(opaque.findings) == {"Edema": 1, "Pneumonia": 1, "Infiltration": 1, "Lung Opacity": 1}  # type: ignore[union-attr]
    assert dict(other.findings) == {"Edema": 1, "Pneumonia": 0, "Infiltration": 0, "Lung Opacity": 0}  # type: ignore[union-attr]
    assert dict(plain.findings) == {"Edema": 1, "Pneumonia": 0, "Infiltration": 0, "Lung Opacity": 1}  # type: ignore[union-attr]
    assert [image.day_offset for image in (clear, opaque, other, plain)] == [1.0, 2.0, None, None]


def test_lung_masks_beside_an_index_are_no_findings(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "index.csv").write_text("stem,patient,view,finding\na,P1,AP,Edema\n")
    with pytest.raises(DatasetError, match="is no dataset this command knows"):
        load_labelled(tmp_path)


def test_real_adults_are_read_whole(shared_dir: Path) -> None:
    dataset = load_labelled(shared_dir / "cxr" / "nih-adults")
    assert len(dataset.images) == 897
    said = [image.findings.get("Lung Opacity") for image in dataset.images]  # type: ignore[union-attr]
    assert sum(value is not None for value in said) == 320
