"""Errors that an operator can act on."""

from __future__ import annotations

import pickle

import pytest

from lungsev import errors
from lungsev.errors import (
    FolderLockedError,
    ImageError,
    LungsevError,
    MissingExtraError,
    SkippedImageError,
    UnreadableImageError,
)
from lungsev.report import ImageInfo


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("training", "train")
    assert str(error) == 'training needs the "train" extra: pip install "lungsev[train]"'
    assert error.extra == "train"


@pytest.mark.parametrize("kind", [ImageError, UnreadableImageError, SkippedImageError])
def test_an_error_of_an_image_crosses_to_another_process_whole(kind: type[ImageError]) -> None:
    error = kind("truncated", "The file ends early.", ImageInfo(sop_instance_uid="1.2.3"))
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert (arrived.code, str(arrived), arrived.image) == (error.code, "The file ends early.", error.image)


def test_a_locked_folder_alone_has_an_exit_code_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) >= 11
    assert all(issubclass(kind, LungsevError) for kind in kinds)
    assert {kind for kind in kinds if kind.exit_code != 1} == {FolderLockedError}
    assert FolderLockedError.exit_code == 3


def test_skipped_and_unreadable_are_told_apart() -> None:
    assert not issubclass(SkippedImageError, UnreadableImageError)
    assert not issubclass(UnreadableImageError, SkippedImageError)
    assert ImageError("blank", "No image.").image is None
