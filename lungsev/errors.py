"""Exceptions.

    LungsevError            an operator can act on it: one line, exit code 1
    ├── ConfigError         a YAML file or an option is wrong
    ├── MissingExtraError   an optional dependency is not installed
    ├── DatasetError        a training folder or its annotations are wrong
    ├── BundleError         a bundle is missing, damaged or of an unknown version
    ├── BackendError        an inference backend cannot be opened or failed
    ├── ParityError         an exported graph differs from the network it came from
    ├── FolderLockedError   another instance holds the folder, exit code 3
    └── ImageError          one image cannot be scored; the others are
        ├── UnreadableImageError   it is damaged or hostile: status `failed`
        └── SkippedImageError      it is intact, but not an image that lungsev scores: status `skipped`

Messages say what was found, what was expected and what to do. They never contain a patient's data: no tag value that
names a person, no path made from a tag. `ValueError` is for mistakes of a programmer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lungsev.report import ImageInfo


class LungsevError(Exception):
    """Base of every error an operator can act on."""

    exit_code = 1


class ConfigError(LungsevError):
    """A configuration file or an option is wrong."""


class MissingExtraError(LungsevError):
    """An optional dependency is not installed.

    Args:
        feature: What the user asked for.
        extra: The extra to install: `pip install "lungsev[extra]"`.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs the "{extra}" extra: pip install "lungsev[{extra}]"')
        self.extra = extra


class DatasetError(LungsevError):
    """A training folder or its annotations are wrong."""


class BundleError(LungsevError):
    """A bundle is missing, damaged or of a version this release does not know."""


class BackendError(LungsevError):
    """An inference backend cannot be opened, or failed while it ran."""


class ParityError(LungsevError):
    """An exported graph differs from the network it came from by more than the tolerance."""


class FolderLockedError(LungsevError):
    """Another instance holds the folder."""

    exit_code = 3


class ImageError(LungsevError):
    """One image cannot be scored.

    Args:
        code: Stable snake_case word for machines, e.g. `truncated` or `not_frontal_chest`.
        message: One sentence for people.
        image: What is known about the image, for the report and the ledger.
    """

    def __init__(self, code: str, message: str, image: ImageInfo | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.image = image

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str, ImageInfo | None]]:
        return type(self), (self.code, str(self), self.image)


class UnreadableImageError(ImageError):
    """The file is damaged, hostile or in an encoding that cannot be decoded: status `failed`."""


class SkippedImageError(ImageError):
    """The file is intact, but not an image that lungsev scores: status `skipped`."""
