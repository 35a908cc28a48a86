"""The contract every output format meets.

An output turns one scored image into one file. Which outputs run is chosen by name, in the
configuration or on the command line; `catalog.open_outputs` finds them. To add a format: write one
module with a class that meets `Output`, and add its name to the catalog.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lungsev.pipeline import ScoredRadiograph


class Output(Protocol):
    """Writes one format.

    Attributes:
        name: As the configuration names it: `json`, `overlay`, `dicom_sr`.
        folder: Where `watch` keeps these files below its output folder: `reports`, `overlays`, `dicom`.
        suffix: What follows the image's name: `.json`, `.png`, `.sr.dcm`.
    """

    @property
    def name(self) -> str: ...

    @property
    def folder(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        """Write the image's result to `target`, atomically: the file is whole or it is not there.

        Args:
            scored: An image of any status; skipped and failed images too.
            target: The file's whole path, suffix included. The folder exists.

        Returns:
            The path written, or None where this format has nothing to say of such an image
            (a structured report of an image that was not scored).

        Raises:
            LungsevError: The format needs something the image does not have, or an extra that is missing.
            OSError: The disk refused.
        """
        ...
