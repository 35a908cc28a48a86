"""Moves of images between folders: a crash at any moment leaves each image in exactly one known place."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from lungsev.system import atomic_file, fsync_folder


def move_file(source: Path, target: Path) -> None:
    """Move a file by rename; across file systems, copy it and remove the source once the copy is on the disk.

    Raises:
        FileNotFoundError: The source was removed.
        OSError: The disk refuses.
    """
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if not os.access(source.parent, os.W_OK):  # or it would be copied again and again
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        copy_file(source, target)
        os.unlink(source)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file so that the target is complete or absent; the modification time is kept.

    Raises:
        OSError: The source was removed, is a link or not a regular file, or the disk refuses.
    """
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as reading, atomic_file(target) as writing:
        info = os.fstat(descriptor)
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.utime(writing.fileno(), ns=(info.st_mtime_ns, info.st_mtime_ns))


def move_into_folder(source: Path, target: Path) -> None:
    """Move a file and create the target's folder; do nothing when the file was moved already.

    Raises:
        FileNotFoundError: Neither source nor target exists.
        OSError: The disk refuses.
    """
    target.parent.mkdir(mode=0o750, exist_ok=True)
    try:
        move_file(source, target)
    except FileNotFoundError:
        if not os.path.lexists(target):
            raise
    fsync_folder(target.parent)


def remove_file(path: Path) -> None:
    """Remove a file if it exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
