"""Finding the file a table speaks of."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class ImageFinder:
    """Looks names up in a few folders, with or without suffix, whatever their case and accents' encoding.

    A name may hold folders (`p1/image.png`, also with backslashes), a number may have lost its leading zeros to a
    spreadsheet or become a decimal (7 or 7.0 for `0007.png`, as long as only one file could be meant).

    Args:
        folders: Relative to root, searched in this order; "." is root itself.
    """

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        self._folders = [root / name for name in folders]
        self._listed: dict[Path, Listing] = {}

    def find(self, name: str) -> Path | None:
        """The file of that name, or of that name without or with another image suffix."""
        path = PurePosixPath(name.replace("\\", "/"))
        parts = [part for part in path.parts[:-1] if part not in ("/", ".")]
        if not path.name or ".." in parts:
            return None
        inside = [folder.joinpath(*parts) for folder in self._folders] if parts else []
        for folder in (*inside, *self._folders):
            found = self._look(folder, _key(path.name))
            if found is not None:
                return found
        return None

    def _look(self, folder: Path, key: str) -> Path | None:
        if folder not in self._listed:
            self._listed[folder] = Listing.of(folder)
        return self._listed[folder].find(key)


@dataclass(frozen=True)
class Listing:
    """Image files of one folder by name, by stem, and by number where it is the only file of that number."""

    by_name: dict[str, Path]
    by_stem: dict[str, Path]
    by_number: dict[str, Path]

    @classmethod
    def of(cls, folder: Path) -> Listing:
        """Empty when the folder is not there."""
        paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ()
        images = [
            path for path in paths if (path.suffix.lower() in IMAGE_SUFFIXES or not path.suffix) and path.is_file()
        ]
        numbers = Counter(_number(_key(path.stem)) for path in images)
        return cls(
            {_key(path.name): path for path in images},
            {_key(path.stem): path for path in images},
            {number: path for path in images if numbers[number := _number(_key(path.stem))] == 1 and number},
        )

    def find(self, key: str) -> Path | None:
        """Return the file of that name, stem or number; None when there is none."""
        stem = _stem(key)
        exact = self.by_name.get(key) or self.by_stem.get(key) or self.by_stem.get(stem)
        return exact or self.by_number.get(_number(stem))


def list_images(folder: Path) -> list[Path]:
    """Image files of one folder, sorted by name; empty when the folder is not there."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _key(name: str) -> str:
    """Compare names by this; one that is not UTF-8 is read as Windows-1252, as the cells of a table are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("cp1252", errors="replace")
    return unicodedata.normalize("NFC", name).lower()


def _number(stem: str) -> str:
    """Digits without leading zeros; empty for any other name."""
    whole = re.sub(r"[.,]0+$", "", stem)
    return (whole.lstrip("0") or "0") if whole.isascii() and whole.isdecimal() else ""


def _stem(key: str) -> str:
    """Without an image suffix; a dot in the middle of a name is no suffix."""
    suffix = Path(key).suffix
    return key[: -len(suffix)] if suffix in IMAGE_SUFFIXES else key
