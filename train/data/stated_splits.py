"""Splits that a dataset or a file states: a part for each image, or the number of its fold.

A table says so in a column `split`, `part` or `fold`; a file (`data.split.file`) is the splits.json of an earlier run,
a table of images and parts, or YAML: image -> part, or part -> list of images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lungsev.config import read_yaml
from lungsev.errors import DatasetError
from lungsev.train.data.splits import (
    PARTS,
    Name,
    Split,
    Splittable,
    complete_split,
    cut,
    enough_to_calibrate,
    split_images,
    with_calibration,
)
from lungsev.train.data.tables import IMAGE_COLUMNS, find_column, known, number, read_table, summarise
from lungsev.train.settings import SplitSettings

PART_COLUMNS = ("split", "part")
FOLD_COLUMNS = ("fold",)
DEFAULT_FOLDS = 5
WORDS = {
    **{part: part for part in PARTS},
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}


@dataclass(frozen=True)
class StatedSplit:
    """What is said of each image.

    Attributes:
        source: For messages, e.g. `the dataset's split column`.
        label: Of the protocol, e.g. `column`.
        words: Image name to the word or number, as printed; without the images that nothing is said of.
        remarks: What the source says of images that are not there.
    """

    source: str
    label: str
    words: Mapping[str, str]
    remarks: tuple[str, ...] = ()

    @property
    def folds(self) -> tuple[str, ...]:
        """Return the numbers of the folds in ascending order; none where parts are stated."""
        numbers = {word: number(word) for word in set(self.words.values())}
        return () if None in numbers.values() else tuple(sorted(numbers, key=lambda word: numbers[word] or 0.0))

    def parts(self) -> dict[str, str]:
        """Return the part of each image.

        Raises:
            DatasetError: A word is no part.
        """
        unknown = sorted({word for word in self.words.values() if word.lower() not in WORDS})
        if unknown:
            shown = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
            raise DatasetError(
                f"{self.source} says {shown}; expected {', '.join(PARTS)} for all images, or a number of its fold for "
                "all; correct it, or split anew with --protocol holdout"
            )
        return {name: WORDS[word.lower()] for name, word in self.words.items()}


def make_split(
    images: Sequence[Splittable], settings: SplitSettings, otherwise: Name = "holdout"
) -> tuple[Split, tuple[str, ...]]:
    """Return the split that the settings ask for, and remarks on it.

    It is a file's, or the one the dataset states, or a new one. Without a protocol, what the dataset states is used,
    and `otherwise` where it states nothing.

    Raises:
        DatasetError: A file or a column is wrong, a patient is on two sides, or there are too few patients.
    """
    if settings.fold == "all":
        raise ValueError("expected one fold of a cross-validation, found `all`")
    if settings.file is not None and settings.file.suffix.lower() == ".json":
        return _with_validation(saved_split(images, settings.file), images, settings), ()
    stated = _stated(images, settings)
    if stated is not None:
        return _split_as_stated(images, stated, settings), stated.remarks
    if settings.protocol == "column":
        raise DatasetError(
            "protocol column: no image of the dataset has a word in a column split, part or fold; add the column, or "
            "choose another protocol"
        )
    folds = settings.folds or DEFAULT_FOLDS
    protocol = settings.protocol or otherwise
    shares = settings.validation, settings.test, settings.calibration
    return split_images(images, protocol, settings.seed, folds, settings.fold, *shares), ()


def each_fold(images: Sequence[Splittable], settings: SplitSettings) -> list[SplitSettings]:
    """Return the settings of each fold of a cross-validation: as many as the dataset or the file states, else its own.

    Raises:
        DatasetError: The settings name another number than is stated, or the file is of one split.
    """
    if settings.file is not None and settings.file.suffix.lower() == ".json":
        raise DatasetError(f"{settings.file} is one split, expected numbers of folds for --fold all")
    settings = settings.model_copy(update={"protocol": "kfold"})
    stated = _stated(images, settings)
    own = len(_folds(stated, settings)) if stated is not None else 0
    count = own or settings.folds or DEFAULT_FOLDS
    return [settings.of_fold(fold).model_copy(update={"folds": count}) for fold in range(count)]


def saved_split(images: Sequence[Splittable], path: Path) -> Split:
    """Read a splits.json, every image of which must be there.

    Raises:
        DatasetError: It cannot be read, was changed, or names other images.
    """
    split = Split.load(path)
    here = {image.name for image in images}
    named = [name for names in split.parts.values() for name in names]
    missing = [name for name in named if name not in here]
    if missing:
        raise DatasetError(
            f"{path} names {len(missing)} images that are not in the dataset, first {missing[0]}; expected the dataset "
            "it was made from, without images left out since"
        )
    others = len(here) - len(set(named)) - sum(split.dropped.values())
    reasons = {f"images that {path.name} does not name": others} if others > 0 else {}
    return Split(split.protocol, split.seed, split.parts, {**split.dropped, **reasons}, split.shared_patients)


def _with_validation(split: Split, images: Sequence[Splittable], settings: SplitSettings) -> Split:
    """Take a validation part out of those who train where a saved split has none."""
    names = set(split.parts["train"])
    training = [image for image in images if image.name in names]
    if "validation" in split.parts or not settings.validation or len({image.patient for image in training}) < 2:
        return split
    train, held = (set(people) for people in cut(training, settings.validation, settings.seed + 1))
    parts = {
        part: tuple(i.name for i in training if i.patient in who)
        for part, who in (("train", train), ("validation", held))
    }
    return complete_split(images, split.protocol, split.seed, {**split.parts, **parts}, split.dropped)


def read_stated(path: Path, images: Sequence[Splittable]) -> StatedSplit:
    """Read a table or YAML of images and parts; a name may lack its folder or its suffix.

    Raises:
        DatasetError: The file cannot be read, states two parts of one image, or names no image of the dataset.
    """
    is_yaml = path.suffix.lower() in (".yaml", ".yml")
    pairs = _pairs_of_yaml(path) if is_yaml else _pairs_of_table(path)
    names = _by_spelling(images)
    words: dict[str, str] = {}
    absent = []
    for stated, word in pairs:
        name = next((names[spelling] for spelling in _spellings(stated) if spelling in names), None)
        if name is None:
            absent.append(stated)
        elif words.setdefault(name, word) != word:
            raise DatasetError(f"{path.name} puts {stated} into {words[name]} and into {word}; remove one of the two")
    if not words:
        found = f"first {pairs[0][0]}" if pairs else "none at all"
        raise DatasetError(
            f"{path.name} names no image of the dataset: it has {found}, the dataset {images[0].name}; expected a "
            "column with the image's name and one with its part, or part: [image, ...] in YAML"
        )
    remarks = summarise(absent, f"images of {path.name} that are not in the dataset")
    return StatedSplit(path.name, f"file {path.name}", words, remarks)


def _stated(images: Sequence[Splittable], settings: SplitSettings) -> StatedSplit | None:
    """Return what the file states, else what the dataset does where the protocol lets it."""
    if settings.file is not None:
        return None if settings.file.suffix.lower() == ".json" else read_stated(settings.file, images)
    parts, folds = (
        {image.name: word for image in images if (word := getattr(image, attribute, ""))}
        for attribute in ("part", "fold")
    )
    if settings.protocol == "kfold":
        stated = StatedSplit("the dataset's fold column", "column", folds)
        return stated if stated.folds else None
    if settings.protocol in (None, "column") and (parts or folds):
        return StatedSplit(f"the dataset's {'split' if parts else 'fold'} column", "column", parts or folds)
    return None


def _folds(stated: StatedSplit, settings: SplitSettings) -> tuple[str, ...]:
    folds = stated.folds
    if folds and settings.folds not in (None, len(folds)):
        raise DatasetError(
            f"{stated.source} has {len(folds)} folds, data.split.folds is {settings.folds}; leave the setting out"
        )
    return folds


def _split_as_stated(images: Sequence[Splittable], stated: StatedSplit, settings: SplitSettings) -> Split:
    folds, label = _folds(stated, settings), stated.label
    if folds:
        if not 0 <= int(settings.fold) < len(folds):
            raise DatasetError(f"{stated.source} has folds 0-{len(folds) - 1}, found data.split.fold {settings.fold}")
        label = f"kfold-{len(folds)} fold {settings.fold}, {label}"
        side_of: Mapping[str, str] = stated.words
        tested = folds[int(settings.fold)]
        part_of = {name: "test" if word == tested else "train" for name, word in stated.words.items()}
    else:
        part_of = stated.parts()
        side_of = {name: "test" if part == "consensus" else part for name, part in part_of.items()}
    if not settings.allow_shared_patients:
        _refuse_shared_patients(images, side_of, stated.source)
    if "validation" not in part_of.values() and settings.validation:
        training = [image for image in images if part_of.get(image.name) == "train"]
        if len({image.patient for image in training}) > 1:
            _, held = cut(training, settings.validation, settings.seed + 1)
            part_of |= {image.name: "validation" for image in training if image.patient in set(held)}
    parts = {part: tuple(image.name for image in images if part_of.get(image.name) == part) for part in PARTS}
    calibration = settings.calibration
    if calibration is None and folds:
        calibration = enough_to_calibrate(images, parts["train"])
    if calibration and not parts["calibration"]:
        parts = with_calibration(images, parts, calibration, settings.seed + 2)
    silent = len(images) - len(part_of)
    dropped = {f"images of which {stated.source} says nothing": silent} if silent else {}
    return complete_split(images, label, settings.seed, parts, dropped)


def _refuse_shared_patients(images: Sequence[Splittable], side_of: Mapping[str, str], source: str) -> None:
    sides: dict[str, dict[str, str]] = defaultdict(dict)  # patient -> side -> first image
    for image in images:
        if image.name in side_of:
            sides[image.patient].setdefault(side_of[image.name], image.name)
    shared = [patient for patient, found in sides.items() if len(found) > 1]
    if shared:
        first = ", ".join(f"{name} in {side}" for side, name in sides[shared[0]].items())
        raise DatasetError(
            f"{source} puts {len(shared)} patient{'s' if len(shared) > 1 else ''} on two sides (first {shared[0]}: "
            f"{first}), so that training knows who is measured; give each patient one side, or allow it with --set "
            "data.split.allow_shared_patients=true"
        )


def _pairs_of_table(path: Path) -> list[tuple[str, str]]:
    table = read_table(path)
    image = find_column(table.columns, IMAGE_COLUMNS)
    part = find_column(table.columns, (*PART_COLUMNS, *FOLD_COLUMNS))
    if image is None or part is None:
        table.require((image or IMAGE_COLUMNS[0], part or PART_COLUMNS[0]))
    return [(row[str(image)], word) for row in table.rows if (word := known(row[str(part)]))]


def _pairs_of_yaml(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for key, value in read_yaml(path).items():
        pairs += [(str(name), str(key)) for name in value] if isinstance(value, list) else [(str(key), str(value))]
    return pairs


def _by_spelling(images: Sequence[Splittable]) -> dict[str, str]:
    """Spelling -> the only image that it could mean."""
    meant: dict[str, set[str]] = defaultdict(set)
    for image in images:
        for spelling in _spellings(image.name):
            meant[spelling].add(image.name)
    exact = {image.name: image.name for image in images}
    return {**{spelling: next(iter(names)) for spelling, names in meant.items() if len(names) == 1}, **exact}


def _spellings(name: str) -> tuple[str, ...]:
    """As it is, and in lower case without its folder, without its suffix, without both."""
    path = PurePosixPath(name.replace("\\", "/").lower())
    return name, str(path), path.name, str(path.with_suffix("")) if path.name else str(path), path.stem
