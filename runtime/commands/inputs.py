"""Which files a batch scores, and under which names its results are kept."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lungsev.report import SeverityReport

UNFINISHED_SUFFIXES = (".part", ".tmp")
_NAME_MAX_BYTES = 255 - len(".999999.json.part0123456789")


@dataclass(frozen=True)
class Found:
    """What the paths of a command line hold. `missing` does not exist or cannot be listed."""

    images: tuple[Path, ...]
    missing: tuple[Path, ...]


def find_images(paths: Iterable[Path], results: Path | None = None) -> Found:
    """Files of a mixed list of files and folders: each once, folders in sorted order.

    Folders are walked without following links to folders; dot files, `*.part`, `*.tmp`, anything but regular files
    and everything that `results` (the folder of an earlier run) holds are left out. A file that is
    named itself is taken whatever it is.
    """
    images: dict[Path, None] = {}
    missing: list[Path] = []
    for path in paths:
        if path.is_dir():
            images.update(dict.fromkeys(_walk(path, results.resolve() if results else None)))
        elif os.path.lexists(path):
            images[path] = None
        else:
            missing.append(path)
    return Found(tuple(images), tuple(missing))


def is_regular_file(path: Path) -> bool:
    """True for a file that can be read without waiting: no FIFO, device, socket or dead link."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class ResultNames:
    """Gives every input its own name in the folder of results.

    The name is the input's file name; a number is added when another image holds it. The same file
    gets the same name again in a later run, so a run can be resumed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def assign(self, path: Path) -> tuple[str, SeverityReport | None]:
        """Name for an input, and the report that an earlier run left there for the same bytes."""
        name = _shortened(path.name)
        digest: str | None = None
        for candidate in _numbered(name):
            if candidate in self._taken:
                continue
            target = self._folder / f"{candidate}.json"
            if not os.path.lexists(target):
                self._taken.add(candidate)
                return candidate, None
            digest = digest or _digest(path)
            earlier = _read_report(target)
            if earlier is not None and digest is not None and earlier.image.sha256 == digest:
                self._taken.add(candidate)
                return candidate, earlier
        raise AssertionError("numbers do not end")


def _walk(folder: Path, results: Path | None) -> Iterator[Path]:
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(directory)
        inside_results = results is not None and here.resolve() == results
        names = set(files)
        for name in sorted(files):
            if name.startswith(".") or name.lower().endswith(UNFINISHED_SUFFIXES):
                continue
            if inside_results and _is_result(name, names):
                continue
            if is_regular_file(here / name):
                yield here / name


def _is_result(name: str, names: set[str]) -> bool:
    """A report, or an overlay with its report beside it."""
    return name.endswith(".json") or (name.endswith(".png") and f"{name[:-4]}.json" in names)


def _shortened(name: str) -> str:
    """The name itself, or its beginning and a hash where the file system could not add `.json` to it."""
    raw = os.fsencode(name)
    if len(raw) <= _NAME_MAX_BYTES:
        return name
    return os.fsdecode(raw[: _NAME_MAX_BYTES - 9]) + "-" + hashlib.sha256(raw).hexdigest()[:8]


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.{number}"
        number += 1


def _digest(path: Path) -> str | None:
    try:
        return sha256_of_file(path) if is_regular_file(path) else None
    except OSError:
        return None


def _read_report(path: Path) -> SeverityReport | None:
    try:
        return SeverityReport.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
