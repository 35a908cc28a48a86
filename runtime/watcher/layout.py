"""The folders one watcher owns, and the lock that keeps a second one out.

DIR/reports/<id>.json      one per image that ended with a result: scored or skipped
DIR/overlays/<id>.png      the image with its zones drawn on it
DIR/quarantine/<id>.*      images that could not be read, each with <id>.reason.json
DIR/archive/<day>/<id>.*   originals of the images that ended with a result
DIR/work/<id>.*            images being worked on
DIR/ledger.sqlite          what became of every image
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
    """Paths below the output folder."""

    root: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite"

    def work_file(self, image: ImageRow) -> Path:
        return self.work / image.file_name

    def archive_file(self, image: ImageRow) -> Path:
        return self.archive / image.id[:8] / image.file_name

    def quarantine_file(self, image: ImageRow) -> Path:
        return self.quarantine / image.file_name

    def reason_file(self, image: ImageRow) -> Path:
        return self.quarantine / f"{image.id}.reason.json"

    def create_folders(self, output_folders: tuple[str, ...]) -> None:
        """Make what is missing; images and results name patients, so others may not read them.

        Raises:
            LungsevError: A folder cannot be made.
        """
        folders = [self.root, self.work, self.archive, self.quarantine, self.log]
        folders += [self.root / name for name in output_folders]
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise LungsevError(
                f"cannot make {folder}: {error.strerror or error}; give --out a folder that this user may write to"
            ) from None


@contextlib.contextmanager
def lock_folders(incoming: Path, layout: Layout) -> Iterator[None]:
    """Hold both folders for this process; the kernel lets go of them however it ends.

    Raises:
        FolderLockedError: Another watcher holds one of them.
    """
    with contextlib.ExitStack() as stack:
        try:
            lock = os.open(layout.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            raise LungsevError(
                f"cannot use {layout.root}: {error.strerror}; check the disk and the folder's owner"
            ) from None
        stack.callback(os.close, lock)
        _lock_or_raise(lock, layout.root, os.read(lock, 32).decode("ascii", "replace").strip())
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the number in it
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        folder = os.open(incoming, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        _lock_or_raise(folder, incoming, "")
        yield


def _lock_or_raise(descriptor: int, folder: Path, holder: str) -> None:
    try:
        locked = lock_file(descriptor)
    except OSError:
        return  # a share without locks; the lock of the output folder still holds
    if not locked:
        who = f" (process {holder})" if holder.isdigit() else ""
        raise FolderLockedError(
            f"another lungsev-run watch{who} holds {folder}; stop it first, or watch another folder"
        )
