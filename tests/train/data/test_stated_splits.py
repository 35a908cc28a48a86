"""A split that a column or a file states is kept to the image, and what is wrong with it is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from lungsev.errors import ConfigError, DatasetError
from lungsev.train.data.splits import split_images
from lungsev.train.data.stated_splits import each_fold, make_split
from lungsev.train.settings import SplitSettings


@dataclass(frozen=True)
class Image:
    name: str
    patient: str
    part: str = ""
    fold: str = ""
    total: float = 0.0


WORDS = ("Train", "training", "val", "TEST", "consensus", "train", "valid", "")


def images_of(words: tuple[str, ...] = WORDS) -> list[Image]:
    return [Image(f"i{n}.png", f"p{n}", word) for n, word in enumerate(words)]


def test_a_column_is_the_split_unless_a_protocol_is_given() -> None:
    images = images_of()
    split, _ = make_split(images, SplitSettings())
    assert split.parts == {
        "train": ("i0.png", "i1.png", "i5.png"),
        "validation": ("i2.png", "i6.png"),
        "test": ("i3.png",),
        "consensus": ("i4.png",),
    }
    assert split.protocol == "column"
    assert split.dropped == {"images of which the dataset's split column says nothing": 1}
    assert make_split(images, SplitSettings(protocol="column"))[0] == split
    assert make_split(images, SplitSettings(protocol="holdout"))[0].protocol == "holdout"
    assert make_split(images_of(("",) * 20), SplitSettings())[0].protocol == "holdout"
    with pytest.raises(DatasetError, match="no image of the dataset has a word in a column split, part or fold"):
        make_split(images_of(("",) * 20), SplitSettings(protocol="column"))


def test_who_validates_is_taken_from_training_where_nothing_says_it() -> None:
    images = images_of(("train",) * 10 + ("test",) * 3)
    split, _ = make_split(images, SplitSettings(validation=0.2))
    assert [len(split.parts[part]) for part in ("train", "validation", "test")] == [8, 2, 3]
    assert "validation" not in make_split(images, SplitSettings(validation=0.0))[0].parts


def test_a_patient_on_two_sides_is_refused_with_the_count_or_allowed() -> None:
    images = [Image("a", "p", "train"), Image("b", "p", "test"), Image("c", "q", "train"), Image("d", "q", "val")]
    with pytest.raises(
        DatasetError, match=r"puts 2 patients on two sides \(first p: a in train, b in test\).*--set data"
    ):
        make_split(images, SplitSettings())
    split, _ = make_split(images, SplitSettings(allow_shared_patients=True))
    assert split.shared_patients == 1
    measured_twice = [Image("a", "p", "train"), Image("b", "q", "test"), Image("c", "q", "consensus")]
    assert make_split(measured_twice, SplitSettings(validation=0.0))[0].shared_patients == 0


def test_unknown_words_are_named() -> None:
    with pytest.raises(DatasetError, match=r"the dataset's split column says chest, hand; expected train, validation"):
        make_split(images_of(("train", "hand", "chest")), SplitSettings())
    with pytest.raises(DatasetError, match="the dataset's split column says 2; expected"):
        make_split(images_of(("train", "2")), SplitSettings())


def test_numbers_in_a_fold_column_are_the_folds() -> None:
    images = [Image(f"i{n}", f"p{n}", fold=str(1 + n % 3)) for n in range(12)]
    settings = each_fold(images, SplitSettings(fold="all", validation=0.0))
    assert [fold.folds for fold in settings] == [3, 3, 3]
    for number, fold in enumerate(settings):
        split, _ = make_split(images, fold)
        assert split.parts["test"] == tuple(image.name for image in images if image.fold == str(number + 1))
        assert split.protocol == f"kfold-3 fold {number}, column"
    assert make_split(images, SplitSettings())[0].protocol == "kfold-3 fold 0, column"
    with pytest.raises(DatasetError, match=r"fold column has folds 0-2, found data\.split\.fold 3"):
        make_split(images, SplitSettings(protocol="kfold", fold=3))
    with pytest.raises(DatasetError, match=r"has 3 folds, data\.split\.folds is 5; leave the setting out"):
        each_fold(images, SplitSettings(folds=5))
    twice = [Image("a", "p", fold="0"), Image("b", "p", fold="1")]
    with pytest.raises(DatasetError, match="puts 1 patient on two sides"):
        make_split(twice, SplitSettings())
    words = [Image(f"i{n}", f"p{n}", "test" if n else "train", fold=str(n)) for n in range(2)]
    assert make_split(words, SplitSettings(validation=0.0))[0].protocol == "column"  # a split column comes first
    assert make_split(words, SplitSettings(protocol="kfold", validation=0.0))[0].protocol == "kfold-2 fold 0, column"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("who.csv", "image,split\ni0,train\nimages/I1.PNG,train\ni2.png,val\ni3.png,test\nzz.png,test\n"),
        ("who.tsv", "file\tpart\ni0.png\ttrain\ni1.png\ttraining\ni2\tvalidation\ni3\ttest\nzz\ttest\n"),
        ("who.yaml", "train: [i0, i1]\nvalidation: [i2.png]\ntest: [i3.png, zz]\n"),
        ("who.yml", "i0: train\ni1.png: train\ni2.png: val\ni3.png: test\nzz: test\n"),
    ],
)
def test_a_table_or_yaml_says_who_is_where(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    split, remarks = make_split(images_of(("",) * 6), SplitSettings(file=tmp_path / name))
    assert split.parts == {"train": ("i0.png", "i1.png"), "validation": ("i2.png",), "test": ("i3.png",)}
    assert split.dropped == {f"images of which {name} says nothing": 2}
    assert split.protocol == f"file {name}"
    assert len(remarks) == 1
    assert remarks[0].startswith(f"images of {name} that are not in the dataset: 1 (zz")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("who.csv", "image,split\ni0,train\ni0,test\n", r"who\.csv puts i0 into train and into test"),
        ("who.csv", "image,split\nx,train\n", r"names no image of the dataset: it has first x, the dataset i0\.png"),
        ("who.csv", "image,group\ni0,train\n", r"who\.csv lacks the column split"),
        ("who.csv", "image,split\ni0,train\ni1,holdout\n", r"who\.csv says holdout; expected train"),
        ("who.yaml", "[i0, i1]", "expected a mapping"),
        ("who.yaml", "{}", "names no image of the dataset: it has none at all"),
        ("who.yaml", "test: [i0]", r"leaves no image to train on"),
        ("who.json", "{", "cannot read the split"),
        ("who.csv", None, "cannot read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, name: str, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((DatasetError, ConfigError), match=reason):
        make_split(images_of(("",) * 3), SplitSettings(file=tmp_path / name))


def test_numbers_in_a_file_are_folds(tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("image,fold\n" + "".join(f"i{n},{n % 2}\n" for n in range(6)))
    images = images_of(("",) * 6)
    folds = each_fold(images, SplitSettings(file=tmp_path / "folds.csv", validation=0.0))
    assert [make_split(images, fold)[0].parts["test"] for fold in folds] == [
        ("i0.png", "i2.png", "i4.png"),
        ("i1.png", "i3.png", "i5.png"),
    ]


def test_a_saved_split_that_says_nothing_of_validation_gets_a_part_from_those_who_train(tmp_path: Path) -> None:
    images = images_of(("",) * 40)
    saved = split_images(images, "holdout", validation=0.0)
    saved.save(tmp_path / "splits.json")
    split, _ = make_split(images, SplitSettings(file=tmp_path / "splits.json", validation=0.25))
    assert split.parts["test"] == saved.parts["test"]
    assert sorted((*split.parts["train"], *split.parts["validation"])) == sorted(saved.parts["train"])
    assert 0 < len(split.parts["validation"]) < len(split.parts["train"])
    as_saved, _ = make_split(images, SplitSettings(file=tmp_path / "splits.json", validation=0.0))
    assert as_saved.parts == saved.parts


def test_a_saved_split_counts_images_it_does_not_name_and_refuses_folds(tmp_path: Path) -> None:
    images = images_of(("",) * 20)
    saved = split_images(images[:18], "holdout")
    saved.save(tmp_path / "splits.json")
    settings = SplitSettings(file=tmp_path / "splits.json")
    split, _ = make_split(images, settings)
    assert split.parts == saved.parts
    assert split.dropped == {"images that splits.json does not name": 2}
    with pytest.raises(DatasetError, match=r"is one split, expected numbers of folds for --fold all"):
        each_fold(images, settings)
    with pytest.raises(DatasetError, match="that are not in the dataset, first i"):
        make_split(images[:5], settings)
