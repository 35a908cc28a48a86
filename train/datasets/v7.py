"""V7's COVID-19 films: one Darwin JSON with lung polygons per film, in `annotations/` beside `images/`."""

from __future__ import annotations

import json
from pathlib import Path

from ..masks import read_polygons
from .contract import Layout, MaskedDataset, MaskedFilm
from .files import FilmFinder, summarise


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Every film whose document holds a lung polygon. Tags `Patient ...` name the patient where they are given."""
    finder = FilmFinder(root, ("images", "."))
    films, missing, without_lungs = [], [], []
    for document_path in _documents(root):
        document = json.loads(document_path.read_text(encoding="utf-8"))
        name = (document.get("image") or document.get("item") or {}).get("filename") or document_path.stem
        original = (document.get("image") or {}).get("original_filename", name)
        path = finder.find(name) or finder.find(original) or finder.find(document_path.stem)
        names = [annotation.get("name", "") for annotation in document.get("annotations", [])]
        if path is None:
            missing.append(name)
        elif not any("lung" in text.lower() for text in names):
            without_lungs.append(name)
        else:
            patient = next((text for text in names if text.lower().startswith("patient")), path.stem)
            view = next((text for text in names if text.lower().startswith("view")), "")
            films.append(MaskedFilm(path.name, path, patient, (document_path,), read_polygons, view=view))
    problems = (
        *summarise(missing, "{n} annotation files name a film that is not there"),
        *summarise(without_lungs, "{n} films have no lung polygon and were left out"),
    )
    return MaskedDataset("v7", root, tuple(films), problems)


def _documents(root: Path) -> list[Path]:
    return sorted((root / "annotations").glob("*.json"))


LAYOUT = Layout(
    name="v7",
    task="lungs",
    expects="images/ beside annotations/*.json of Darwin",
    recognises=lambda root: bool(_documents(root)),
    load=load,
)
