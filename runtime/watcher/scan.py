"""What lies in a watched folder, by our own eyes: events lose files, a scan does not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

UNFINISHED_SUFFIXES = (b".part", b".tmp", b".filepart", b".crdownload")
SHARE_TYPES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"})


@dataclass(frozen=True)
class Entry:
    """One regular file; `source` is its path below the folder, as bytes."""

    source: bytes
    size: int
    mtime_ns: int
    inode: int

    @property
    def signature(self) -> tuple[int, int, int]:
        """Changes whenever somebody writes to the file or puts another in its place."""
        return self.size, self.mtime_ns, self.inode


@dataclass
class Scan:
    """What one look found.

    Attributes:
        unreadable: Folders that could not be listed.
        ignored: What is no regular file.
        unfinished: Files whose names say that their writer has not finished: .x, *.part, *.tmp.
    """

    entries: list[Entry] = field(default_factory=list)
    unreadable: int = 0
    ignored: int = 0
    unfinished: int = 0
    too_deep: int = 0
    truncated: bool = False


def scan_folder(
    folder: Path,
    excluded: frozenset[tuple[int, int]] = frozenset(),
    max_depth: int = 600,
    max_files: int = 50_000,
    is_taken: Callable[[Entry], bool] = lambda entry: False,
) -> Scan:
    """List regular files, folders inside folders, without following a link.

    Dot files, `*.part` and `*.tmp` are a writer's unfinished business. Depth and number are bounded: what
    is beyond `max_files` is found by a later scan, when the first have been taken away.

    Args:
        excluded: (device, inode) of folders not to enter, as our own output folder.
        is_taken: Files that stay where they are and need no second look; they do not count.

    Raises:
        OSError: The folder itself cannot be listed: it is unmounted, removed or not ours to read.
    """
    root = os.fsencode(folder)
    found = Scan()
    pending: list[tuple[bytes, int]] = [(b"", 0)]
    while pending:
        relative, depth = pending.pop()
        try:
            listing = os.scandir(os.path.join(root, relative) if relative else root)
        except OSError:
            if not relative:
                raise
            found.unreadable += 1  # gone since, not ours to read, or a path longer than the system takes
            continue
        with listing:
            for item in listing:
                name = item.name
                if name.startswith(b".") or name.lower().endswith(UNFINISHED_SUFFIXES):
                    found.unfinished += not item.is_dir(follow_symlinks=False)
                    continue
                if len(found.entries) >= max_files:
                    found.truncated = True
                    return found
                _look_at(item, os.path.join(relative, name), depth, found, pending, excluded, max_depth, is_taken)
    return found


def is_share(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a folder lies on a network file system, where a scan costs more and clocks differ."""
    target = os.path.realpath(folder)
    best, kind = "", ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    for line in lines:
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ").rstrip("/")
        if (target == point or target.startswith(point + "/")) and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind in SHARE_TYPES


def _look_at(
    item: os.DirEntry[bytes],
    relative: bytes,
    depth: int,
    found: Scan,
    pending: list[tuple[bytes, int]],
    excluded: frozenset[tuple[int, int]],
    max_depth: int,
    is_taken: Callable[[Entry], bool],
) -> None:
    try:
        info = item.stat(follow_symlinks=False)
    except OSError:
        return  # gone between the listing and the look
    if stat.S_ISREG(info.st_mode):
        entry = Entry(relative, info.st_size, info.st_mtime_ns, info.st_ino)
        if not is_taken(entry):
            found.entries.append(entry)
    elif not stat.S_ISDIR(info.st_mode):
        found.ignored += 1
    elif depth + 1 >= max_depth:
        found.too_deep += 1
    elif (info.st_dev, info.st_ino) not in excluded:
        pending.append((relative, depth + 1))
