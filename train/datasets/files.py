"""Finding the file a table speaks of, and saying what was not found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FILM_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class FilmFinder:
    """Looks names up in a few folders, with or without suffix, whatever their case.

    Args:
        folders: Relative to root, searched in this order; "." is root itself.
    """

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        self._by_name: dict[str, Path] = {}
        self._by_stem: dict[str, Path] = {}
        for folder in reversed([root / name for name in folders]):
            if not folder.is_dir():
                continue
            for path in sorted(folder.iterdir(), reverse=True):
                if path.is_file() and (path.suffix.lower() in FILM_SUFFIXES or not path.suffix):
                    self._by_name[path.name.lower()] = path
                    self._by_stem[path.stem.lower()] = path

    def find(self, name: str) -> Path | None:
        """The file of that name, or of that name without or with another image suffix."""
        key = Path(name).name.lower()
        return self._by_name.get(key) or self._by_stem.get(key) or self._by_stem.get(_stem(key))


def list_films(folder: Path) -> list[Path]:
    """Film files of one folder, sorted by name; empty when the folder is not there."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in FILM_SUFFIXES)


def summarise(names: Sequence[str], template: str) -> tuple[str, ...]:
    """One remark with a count and the first names, or none."""
    if not names:
        return ()
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return (f"{template.format(n=len(names))} ({shown})",)


def _stem(key: str) -> str:
    """Without an image suffix; a dot in the middle of a name is no suffix."""
    suffix = Path(key).suffix
    return key[: -len(suffix)] if suffix in FILM_SUFFIXES else key
