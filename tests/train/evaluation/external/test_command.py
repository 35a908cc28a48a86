"""External results are measured by the bundle and written into its manifest and card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from external_images import REFUSED, StandIn, write_picture
from tiny_bundle import write_tiny_bundle

import lungsev
from lungsev.bundle.archive import read_bundle
from lungsev.errors import BundleError, DatasetError
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.external import measure_external
from lungsev.train.evaluation.external.command import ExternalOptions


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def load(*_: Any, **__: Any) -> StandIn:
        return StandIn()

    monkeypatch.setattr(lungsev, "load", load)
    write_tiny_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images with opacity, three normal ones, one that is refused."""
    root = tmp_path / "adults"
    (root / "images").mkdir(parents=True)
    names = [*(f"ill{number}-3" for number in range(3)), *(f"well{number}-0" for number in range(3)), f"{REFUSED}-0"]
    rows = [f"{name}.png,{name},{'Lung Opacity' if name.startswith('ill') else 'Normal'}" for name in names]
    for name in names:
        write_picture(root / "images" / f"{name}.png")
    (root / "index.csv").write_text("film,patient,rsna_class\n" + "\n".join(rows) + "\n")
    return root


def test_the_card_says_what_was_measured_on_how_many_and_what_had_no_score(bundle: Path, data: Path) -> None:
    before = read_bundle(bundle)
    found = measure_external(data, bundle)
    after = read_bundle(bundle)
    assert found["refused"] == {"inverted": 1}
    assert after.manifest.metrics["external"]["adults"]["scored"] == 6
    assert after.graph_bytes("fp32") == before.graph_bytes("fp32")
    card = after.file_bytes("card.md").decode()
    section = card.split("## External results")[1].split("\n## ")[0]
    assert "**adults** (RSNA class by radiologists; all images): 7 images of 7 patients, 6 scored" in section
    assert "without a score: 1 inverted" in section
    assert "| brixia: opacity told from normal | AUC | 1.000 [1.000, 1.000] | 6 | 6 |" in section
    assert "external.adults" not in card


def test_a_second_dataset_is_added_and_the_same_one_replaced(bundle: Path, data: Path) -> None:
    measure_external(data, bundle)
    other = data.with_name("others")
    shutil.copytree(data, other)
    measure_external(other, bundle)
    measure_external(data, bundle)
    assert sorted(read_bundle(bundle).manifest.metrics["external"]) == ["adults", "others"]


def test_only_the_test_part_of_a_run_counts(bundle: Path, data: Path) -> None:
    names = [f"{path.stem}.png" for path in sorted((data / "images").iterdir())]
    split = Split("holdout", 1, {"train": tuple(names[:2]), "test": tuple(names[2:])}, {}, 0)
    split.save(data / "splits.json")
    found = measure_external(data, bundle, ExternalOptions(split=data / "splits.json"))
    assert (found["images"], found["part"]) == (5, "the test part of the run")
    Split("holdout", 1, {"train": tuple(names)}, {}, 0).save(data / "splits.json")
    with pytest.raises(DatasetError, match="no image of adults is left"):
        measure_external(data, bundle, ExternalOptions(split=data / "splits.json"))


def test_patients_who_were_trained_on_do_not_count(bundle: Path, data: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    write_picture(known / "a.png")
    codes = "ABCDEF"
    (known / "table.csv").write_text(f"image,patient,{','.join(codes)}\na.png,ill0-3{',0' * len(codes)}\n")
    shutil.copy(Path(lungsev.__file__).parents[1] / "configs/schemes/brixia.yaml", known / "scheme.yaml")
    found = measure_external(data, bundle, ExternalOptions(exclude_patients_of=known))
    assert (found["images"], found["part"]) == (6, "all images, without the patients of known")


def test_a_bundle_that_is_not_there_is_not_made(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        measure_external(data, tmp_path / "nowhere")
