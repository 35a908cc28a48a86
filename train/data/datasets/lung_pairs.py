"""Images with one mask file each: `images/` beside `masks/`, names equal without suffix (also `<name>_mask`).

`index.csv` (stem, patient, view, finding, day_offset), where it is there, says the patients. Masks hold 0, 1 for the
patient's right and 2 for the left lung, or two values; then the sides are told by position.
"""

from __future__ import annotations

from pathlib import Path

from lungsev.train.data.datasets.contract import Layout, MaskedDataset, MaskedImage
from lungsev.train.data.datasets.files import list_images
from lungsev.train.data.datasets.places.outlines import holds_outlines
from lungsev.train.data.day_offsets import DaysBeside, day_in
from lungsev.train.data.masks import read_mask
from lungsev.train.data.tables import IMAGE_COLUMNS, find_column, known, read_table, summarise

IMAGE_FOLDERS = ("images", "films", "CXR_png")
MASK_FOLDERS = ("masks", "mask")


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Every image that has a mask."""
    return pairs("lung_pairs", root, _folder(root, IMAGE_FOLDERS), _folder(root, MASK_FOLDERS))


def pairs(name: str, root: Path, image_folder: Path, mask_folder: Path) -> MaskedDataset:
    """Match images and masks by name."""
    masks = {path.stem.lower().removesuffix("_mask"): path for path in list_images(mask_folder)}
    people, days = _people(root), DaysBeside(root)
    images, missing, strangers = [], [], []
    for path in list_images(image_folder):
        mask = masks.get(path.stem.lower())
        person = people.get(path.stem, {})
        patient = known(person.get("patient"))
        if mask is None:
            missing.append(path.name)
        else:
            strangers += [] if patient else [path.name]
            day = day_in(person)
            images.append(
                MaskedImage(
                    name=path.name,
                    path=path,
                    patient=patient or path.stem,
                    mask_paths=(mask,),
                    read_mask=read_mask,
                    view_position=person.get("view", ""),
                    finding=person.get("finding", ""),
                    day_offset=days.find(path.name, patient) if day is None else day,
                )
            )
    problems = (
        *summarise(missing, f"images of {image_folder.name}/ without a mask in {mask_folder.name}/, left out"),
        *summarise(strangers, "images without a patient in index.csv, each counted as a patient of its own"),
    )
    return MaskedDataset(name, root, tuple(images), problems)


def _people(root: Path) -> dict[str, dict[str, str]]:
    path = root / "index.csv"
    if not path.is_file():
        return {}
    table = read_table(path, ("patient",))
    column = find_column(table.columns, IMAGE_COLUMNS)
    return {Path(row[column]).stem if column != "stem" else row[column]: row for row in table.rows} if column else {}


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    return next((root / name for name in names if (root / name).is_dir()), root / names[0])


def _recognises(root: Path) -> bool:
    """Where `masks/` holds lungs as files of their own, beside it, the others outline something else."""
    images, masks = _folder(root, IMAGE_FOLDERS), _folder(root, MASK_FOLDERS)
    return images.is_dir() and masks.is_dir() and not holds_outlines(masks)


LAYOUT = Layout(
    name="lung_pairs",
    task="lungs",
    expects="images/ and masks/ with equal names",
    recognises=_recognises,
    load=load,
    rank=50,
)
