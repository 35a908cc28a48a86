"""Folders of one watcher, and the lock that keeps a second watcher out.

DIR/reports/<id>.json      one per image with a result: scored, or skipped with a reason
DIR/overlays/<id>.png      the image with its zones drawn on it
DIR/quarantine/<id>.*      images that could not be read, each with <id>.reason.json
DIR/archive/<day>/<id>.*   originals of the images with a result
DIR/work/<id>.*            images being processed
DIR/versions/<folder>/     outputs that were given out before and no longer stand, <id>.r<revision>.*
DIR/ledger.sqlite          what became of every image
DIR/backend.json           what a running watcher scores with, and why
DIR/log/                   JSON logs, without patient data
DIR/lock                   held while a watcher runs
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lungsev.errors import FolderLockedError, LungsevError
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.system import lock_file


@dataclass(frozen=True)
class Layout:
    """Paths below the output folder.

    Attributes:
        root: The output folder itself.
    """

    root: Path

    @property
    def work(self) -> Path:
        """Images being processed."""
        return self.root / "work"

    @property
    def archive(self) -> Path:
        """Originals of the images with a result, in a folder for each day."""
        return self.root / "archive"

    @property
    def quarantine(self) -> Path:
        """Images that could not be read, and their reason files."""
        return self.root / "quarantine"

    @property
    def reports(self) -> Path:
        """JSON reports."""
        return self.root / "reports"

    @property
    def versions(self) -> Path:
        """Outputs that no longer stand."""
        return self.root / "versions"

    @property
    def log(self) -> Path:
        """JSON logs."""
        return self.root / "log"

    @property
    def ledger(self) -> Path:
        """SQLite file of the ledger."""
        return self.root / "ledger.sqlite"

    def work_file(self, image: ImageRow) -> Path:
        """Return the path of an image while it is processed."""
        return self.work / image.file_name

    def archive_file(self, image: ImageRow) -> Path:
        """Return the path of the original of an image with a result."""
        return self.archive / image.id[:8] / image.file_name

    def quarantine_file(self, image: ImageRow) -> Path:
        """Return the path of an image that could not be read."""
        return self.quarantine / image.file_name

    def reason_file(self, image: ImageRow) -> Path:
        """Return the path of the file that says why an image could not be read."""
        return self.quarantine / f"{image.id}.reason.json"

    def create_folders(self, output_folders: tuple[str, ...]) -> None:
        """Create missing folders, closed to other users because images and results name patients.

        Args:
            output_folders: Names of the folders of the outputs, below `root`.

        Raises:
            LungsevError: A folder cannot be created.
        """
        folders = [self.root, self.work, self.archive, self.quarantine, self.log]
        folders += [self.root / name for name in output_folders]
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise LungsevError(
                f"cannot create {folder}: {error.strerror or error}; give --out a folder that this user may write to"
            ) from None


@contextlib.contextmanager
def lock_folders(incoming: Path, layout: Layout) -> Iterator[None]:
    """Lock both folders for this process; the kernel releases the locks however the process ends.

    Raises:
        FolderLockedError: Another watcher uses one of them.
        LungsevError: The lock file cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock_out(layout))
        folder = os.open(incoming, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        _lock_or_raise(folder, incoming, "")
        yield


@contextlib.contextmanager
def lock_out(layout: Layout) -> Iterator[None]:
    """Lock the output folder alone; raises as `lock_folders`."""
    with contextlib.ExitStack() as stack:
        try:
            lock = os.open(layout.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            raise LungsevError(
                f"cannot use {layout.root}: {error.strerror}; check the disk and the folder's owner"
            ) from None
        stack.callback(os.close, lock)
        _lock_or_raise(lock, layout.root, os.read(lock, 32).decode("ascii", "replace").strip())
        with contextlib.suppress(OSError):  # on a full disk the lock works without the process number in it
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield


def _lock_or_raise(descriptor: int, folder: Path, holder: str) -> None:
    try:
        locked = lock_file(descriptor)
    except OSError:
        return  # a share without locks; the lock of the output folder still works
    if not locked:
        who = f" (process {holder})" if holder.isdigit() else ""
        raise FolderLockedError(f"another lungsev-run watch{who} uses {folder}; stop it first, or watch another folder")
