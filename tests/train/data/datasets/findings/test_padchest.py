"""PadChest: a list of labels in a cell, numbered folders, 16-bit PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lungsev.train.data.datasets import load_labelled
from lungsev.train.data.datasets.findings.padchest import load

DatasetMaker = Callable[[str], Path]


def test_the_published_layout_is_read(phantom_dataset: DatasetMaker) -> None:
    dataset = load_labelled(phantom_dataset("padchest"))
    assert (dataset.name, len(dataset.images)) == ("padchest", 6)
    image = dataset.images[0]
    assert image.read(image.path).pixels.max() <= 1
    assert image.path.parent.name in ("0", "1")


def test_labels_views_and_exclusions(tmp_path: Path) -> None:
    rows = [
        "a.png,0,1,PA,\"['pneumonia', ' Pleural Effusion', '']\"",
        "b.png,0,2,AP_horizontal,['normal']",
        "c.png,0,3,L,['pneumonia']",
        "d.png,0,4,PA,\"['exclude']\"",
        "e.png,0,5,PA,pneumonia",
        "f.png,0,6,PA,nan",
    ]
    (tmp_path / "0").mkdir()
    for name in "abcdef":
        (tmp_path / "0" / f"{name}.png").touch()
    table = tmp_path / "PADCHEST_chest_x_ray_images_labels_160K.csv"
    table.write_text("\n".join(["ImageID,ImageDir,PatientID,Projection,Labels", *rows]))
    dataset = load(tmp_path)
    ill, clear = dataset.images
    assert dict(ill.findings) == {"pneumonia": 1, "pleural effusion": 1}
    assert dict(clear.findings) == {"pneumonia": 0, "pleural effusion": 0}
    assert sorted(problem.partition(":")[0] for problem in dataset.problems) == [
        "images labelled exclude or suboptimal study, left out",
        "images of which no finding is said, left out",
        "images whose view is not said to be frontal, left out",
        "rows whose Labels are no list, left out",
    ]
