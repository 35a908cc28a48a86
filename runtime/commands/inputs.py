"""Which files a batch scores, and under which names its results are kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lungsev.report import SeverityReport
from lungsev.runtime.scan import scan_folder
from lungsev.system import sha256_of_file

_NAME_MAX_BYTES = 255 - len(".999999.json.part0123456789")


@dataclass(frozen=True)
class Found:
    """The files of a command line.

    Attributes:
        images: Files to score, each once.
        missing: Paths that do not exist or cannot be listed.
        unfinished: Number of files left out because their names say that they are still being written.
    """

    images: tuple[Path, ...]
    missing: tuple[Path, ...]
    unfinished: int = 0


def find_images(paths: Iterable[Path], results: Path | None = None) -> Found:
    """List the files of a mixed list of files and folders; folders in sorted order.

    Folders are scanned as `watch` does, links to files included; the reports and overlays that `results` (the folder
    of an earlier run) holds are left out. A file that is named itself is taken whatever it is.
    """
    images: dict[Path, None] = {}
    missing: list[Path] = []
    unfinished = 0
    for path in paths:
        if path.is_dir():
            try:
                scan = scan_folder(path, max_files=None, follow_file_links=True)
            except OSError:
                missing.append(path)
                continue
            unfinished += scan.unfinished
            sources = sorted((entry.source for entry in scan.entries), key=_folder_order)
            files = [path / os.fsdecode(source) for source in sources]
            images.update(dict.fromkeys(_without_results(files, results)))
        elif os.path.lexists(path):
            images[path] = None
        else:
            missing.append(path)
    return Found(tuple(images), tuple(missing), unfinished)


class ResultNames:
    """Gives every input its own name in the folder of results.

    The name is the input's file name; a number is added when another image holds it. The same file
    gets the same name again in a later run, so a run can be resumed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def assign(self, path: Path) -> tuple[str, SeverityReport | None]:
        """Return the name for an input, and the report that an earlier run left there for the same bytes."""
        digest: str | None = None
        for candidate in _numbered(_shortened(path.name)):
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


def _folder_order(source: bytes) -> list[tuple[bool, bytes]]:
    """Files of a folder before the folders in it."""
    *folders, name = source.split(b"/")
    return [*((True, folder) for folder in folders), (False, name)]


def _without_results(files: list[Path], results: Path | None) -> Iterator[Path]:
    """Leave out reports, and overlays with their report beside them, in the folder of results."""
    if results is None:
        yield from files
        return
    folder = results.resolve()
    folders = {parent: parent.resolve() for parent in {file.parent for file in files}}
    names = {file.name for file in files if folders[file.parent] == folder}
    for file in files:
        is_report = file.suffix == ".json" or (file.suffix == ".png" and f"{file.name[:-4]}.json" in names)
        if folders[file.parent] != folder or not is_report:
            yield file


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
        return sha256_of_file(path) if path.is_file() else None
    except OSError:
        return None


def _read_report(path: Path) -> SeverityReport | None:
    try:
        return SeverityReport.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
