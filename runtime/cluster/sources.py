"""Sources of an archive's images: what one is, and which one a word of the command line means."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

_URL = re.compile(r"[a-z][a-z0-9+.-]*(://|::)", re.IGNORECASE)
_DICOMWEB = "dicomweb+"


@dataclass(frozen=True)
class Item:
    """One image of a source.

    Attributes:
        name: Absolute path or URL, as the table of results says it.
        place: What the source fetches it by.
        version: Changes with the image's bytes; empty where the place never holds others.
        size: In bytes; None where the listing does not say.
        source: Number of the source that listed it.
    """

    name: str
    place: str
    version: str = ""
    size: int | None = None
    source: int = 0


class Source(Protocol):
    """Where images come from. It is copied to every worker, so it opens connections on first use.

    Attributes:
        name: For messages, without passwords.
        left_out: Entries that were not listed, by the reason.
    """

    name: str
    left_out: Counter[str]

    def images(self) -> Iterator[Item]:
        """Yield the images as they are found, never all at once.

        Raises:
            LungsevError: The place does not exist or does not answer; what was yielded before is as listed.
        """
        ...

    def fetch(self, item: Item, most_bytes: int) -> Path | bytes:
        """Return an image as a file of this machine or as its bytes.

        Raises:
            NotFetchedError: It cannot be had.
            UnreadableImageError: It is larger than `most_bytes`.
        """
        ...


class NotFetchedError(Exception):
    """An image cannot be had from its source.

    Args:
        message: Why.
        final: Whether another attempt would not help.
    """

    def __init__(self, message: str, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


def is_url(word: str) -> bool:
    """Return whether a word of the command line is a URL rather than the path of a file or folder."""
    return _URL.match(word) is not None and not os.path.lexists(word)


def open_source(word: str, results: Path | None = None) -> Source:
    """Return the source that a word of the command line means.

    Args:
        word: Path; URL that fsspec opens (`s3://bucket/prefix`, `zip::https://host/archive.zip`); or a DICOMweb server
            (`dicomweb+https://host/dicom-web?StudyDate=20240101-20240630`).
        results: Folder of results, which is not listed where it is below a folder of images.

    Raises:
        LungsevError: The URL is wrong, or its driver is not installed.
    """
    from lungsev.runtime.cluster.files import LocalFiles, RemoteFiles

    if not is_url(word):
        return LocalFiles(Path(word), results)
    if word.lower().startswith(_DICOMWEB):
        from lungsev.runtime.cluster.dicomweb import DicomWeb, read_access

        return DicomWeb(word[len(_DICOMWEB) :], read_access())
    if word.lower().startswith("file://"):
        return LocalFiles(Path(word[len("file://") :]), results)
    return RemoteFiles(word)


def numbered(item: Item, source: int) -> Item:
    """Return an item with the number of the source that listed it."""
    return replace(item, source=source)
