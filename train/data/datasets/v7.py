"""V7's COVID-19 images: one Darwin JSON with lung polygons per image, in `annotations/` or in a zip there.

The repository (v7labs/covid-19-xray-dataset) holds no images: those of `covid-only.zip` are taken from `images/` or
from a clone of the image data collection in a folder beside.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.collection import collection_near
from lungsev.train.data.datasets.contract import Layout, MaskedDataset, MaskedImage
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.masks import read_polygons
from lungsev.train.data.tables import summarise


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Every image whose document holds a lung polygon.

    The patient is what the collection says, else a tag `Patient ...`, else the image itself.
    """
    finder = ImageFinder(root, ("images", "."))
    collection = collection_near(root)
    elsewhere = ImageFinder(collection.images, (".",)) if collection is not None else None
    people = collection.people if collection is not None else {}
    radiographs, missing, without_lungs = [], [], []
    for paths, document in _documents(root):
        image = document.get("image") or document.get("item") or {}
        names = [image.get("original_filename"), image.get("filename"), document.get("name"), paths[-1].stem]
        known = [name for name in names if name]
        path = next((p for n in known if (p := finder.find(n) or (elsewhere.find(n) if elsewhere else None))), None)
        tags = [annotation.get("name", "") for annotation in document.get("annotations", [])]
        if path is None:
            missing.append(known[0])
        elif not any("lung" in tag.lower() for tag in tags):
            without_lungs.append(known[0])
        else:
            person = people.get(path.name, {})
            patient = person.get("patient") or _tag(tags, "patient") or path.stem
            view = person.get("view") or _tag(tags, "view")
            radiographs.append(
                MaskedImage(
                    path.name,
                    path,
                    patient,
                    paths,
                    read_polygons,
                    view_position=view,
                    finding=person.get("finding", ""),
                )
            )
    problems = (
        *summarise(missing, "annotation files that name an image which is not there"),
        *summarise(without_lungs, "images without a lung polygon, left out"),
    )
    return MaskedDataset("v7", root, tuple(radiographs), problems)


def _documents(root: Path) -> Iterator[tuple[tuple[Path, ...], dict[str, Any]]]:
    """Yield every document with its place: a file, or a zip and a member.

    Raises:
        DatasetError: One cannot be read.
    """
    folder = root / "annotations"
    for path in sorted(folder.glob("*.json")):
        yield (path,), _parsed(path.name, path.read_bytes())
    for path in sorted(folder.glob("*.zip")):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise DatasetError(f"{path.name} is no zip file or was cut short; download it again") from None
        with archive:
            for member in sorted(name for name in archive.namelist() if name.endswith(".json")):
                if not Path(member).name.startswith("."):
                    yield (path, Path(member)), _parsed(f"{path.name}/{member}", archive.read(member))


def _parsed(name: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        raise DatasetError(f"{name} is no JSON or was cut short; download it again, or remove it") from None
    if not isinstance(document, dict):
        raise DatasetError(f"{name} holds a {type(document).__name__}, expected an annotation of Darwin")
    return document


def _tag(tags: list[str], word: str) -> str:
    return next((tag for tag in tags if tag.lower().startswith(word)), "")


def _recognises(root: Path) -> bool:
    folder = root / "annotations"
    return any([*folder.glob("*.json")]) or (folder / "covid-only.zip").is_file()


LAYOUT = Layout(
    name="v7",
    task="lungs",
    expects="annotations/*.json of Darwin, or annotations/covid-only.zip, and the images in images/",
    recognises=_recognises,
    load=load,
)
