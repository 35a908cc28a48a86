"""Moving images between folders so that a crash at any moment leaves each in exactly one known place."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from lungsev.system import atomic_file, fsync_folder


def take(source: Path, target: Path) -> None:
    """Move a file by rename; across file systems by a copy that is whole on the disk before the source goes.

    Raises:
        FileNotFoundError: The source is gone.
        OSError: The disk refuses.
    """
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if not os.access(source.parent, os.W_OK):  # or it would be copied again and again
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        copy(source, target)
        os.unlink(source)


def copy(source: Path, target: Path) -> None:
    """Copy so that the target is whole or absent; its time of change is kept.

    Raises:
        OSError: The source is gone, is a link or no regular file, or the disk refuses.
    """
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as reading, atomic_file(target) as writing:
        info = os.fstat(descriptor)
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.utime(writing.fileno(), ns=(info.st_mtime_ns, info.st_mtime_ns))


def put_away(source: Path, target: Path) -> None:
    """`take` into a folder that may have to be made; done already when only the target is there."""
    target.parent.mkdir(mode=0o750, exist_ok=True)
    try:
        take(source, target)
    except FileNotFoundError:
        if not os.path.lexists(target):
            raise
    fsync_folder(target.parent)


def remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
