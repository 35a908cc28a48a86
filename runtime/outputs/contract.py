"""Contract of the output formats.

An output turns one scored image into one file. Which outputs run is chosen by name, in the configuration or on the
command line; `catalog.open_outputs` finds them. To add a format, write one module with a function that makes the bytes
of a file, and add its name to the catalog.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Literal, Protocol

from lungsev.pipeline import ScoredRadiograph
from lungsev.system import write_atomically

Needs = Literal["report", "header", "pixels"]


class Output(Protocol):
    """Writer of one format."""

    @property
    def name(self) -> str:
        """Name in the configuration: `json`, `overlay`, `dicom_sr`."""
        ...

    @property
    def folder(self) -> str:
        """Where `watch` keeps these files below its output folder: `reports`, `overlays`, `dicom`."""
        ...

    @property
    def suffix(self) -> str:
        """What follows the image's name: `.json`, `.png`, `.sr.dcm`."""
        ...

    @property
    def needs(self) -> Needs:
        """What it is made from: the report alone, also the header of the original, or also its pixels."""
        ...

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        """Write the image's result to `target`, atomically: the file is whole or it is not there.

        Args:
            scored: An image of any status; skipped and failed images too.
            target: The file's whole path, suffix included. The folder exists.

        Returns:
            The path written, or None where this format has no file for such an image (a structured report of an
            image that was not scored).

        Raises:
            LungsevError: The format needs something the image does not have, or an extra that is missing.
            OSError: The disk refused.
        """
        ...


@dataclass(frozen=True)
class FileOutput:
    """Output of a whole file for each image.

    Attributes:
        encode: Returns the file's bytes from the image and the site's zone, or None where the image gets no file.
        needs: As `Output` says.
        zone: The site's; None is this computer's.
    """

    name: str
    folder: str
    suffix: str
    encode: Callable[[ScoredRadiograph, tzinfo | None], bytes | None]
    needs: Needs = "report"
    zone: tzinfo | None = None

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        """Write the image's file as `Output` says."""
        data = self.encode(scored, self.zone)
        if data is None:
            return None
        write_atomically(target, data)
        return target
