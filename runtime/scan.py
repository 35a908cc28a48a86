"""Folder scanner of `watch` and `score`. It decides what is there: file events get lost (decision 9)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Names that programs give a file while they write it: copiers, browsers, transfer clients, office programs.
UNFINISHED_PREFIXES = (b".", b"~$")
UNFINISHED_SUFFIXES = (b".part", b".partial", b".filepart", b".tmp", b".crdownload")
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
        """Value that changes with every write to the file and with another file in its place."""
        return self.size, self.mtime_ns, self.inode


@dataclass
class Scan:
    """Result of one scan.

    Attributes:
        unreadable: Number of folders that could not be listed.
        ignored: Number of links, pipes, sockets and devices.
        unfinished: Number of files whose names say that they are still being written (`is_unfinished`).
        too_deep: Number of folders below `max_depth`.
        truncated: Whether there are more than `max_files` files.
    """

    entries: list[Entry] = field(default_factory=list)
    unreadable: int = 0
    ignored: int = 0
    unfinished: int = 0
    too_deep: int = 0
    truncated: bool = False


def is_unfinished(name: bytes) -> bool:
    """Return whether a file or folder name is hidden or marks a file that is still being written."""
    return name.startswith(UNFINISHED_PREFIXES) or name.lower().endswith(UNFINISHED_SUFFIXES)


def scan_folder(
    folder: Path,
    excluded: frozenset[tuple[int, int]] = frozenset(),
    max_depth: int = 600,
    max_files: int | None = 50_000,
    is_taken: Callable[[Entry], bool] = lambda entry: False,
    follow_file_links: bool = False,
) -> Scan:
    """List the regular files of a folder and of the folders in it, in no particular order.

    Links to folders are never followed; unfinished names are left out. Depth and number are bounded: a later scan finds
    what is beyond `max_files`, when the first files have been taken away.

    Args:
        folder: Where to start.
        excluded: (device, inode) of folders not to enter, for example the output folder.
        max_depth: Folders deeper than this are counted, not entered.
        max_files: Bound on the number of entries; None for no bound.
        is_taken: True for files that stay in place and need no second look; they are not counted.
        follow_file_links: Whether a link to a regular file is an entry, with the size and inode of that file.

    Raises:
        OSError: The folder itself cannot be listed: it is unmounted, removed or not readable.
    """
    scan = Scan()
    for entry in walk_folder(folder, scan, excluded, max_depth, follow_file_links):
        if is_taken(entry):
            continue
        if max_files is not None and len(scan.entries) >= max_files:
            scan.truncated = True
            break
        scan.entries.append(entry)
    return scan


def walk_folder(
    folder: Path,
    scan: Scan,
    excluded: frozenset[tuple[int, int]] = frozenset(),
    max_depth: int = 600,
    follow_file_links: bool = False,
) -> Iterator[Entry]:
    """Yield what `scan_folder` lists as it is found; the numbers of what is left out are added to `scan`.

    Raises:
        OSError: As `scan_folder`.
    """
    root = os.fsencode(folder)
    pending: list[tuple[bytes, int]] = [(b"", 0)]
    while pending:
        relative, depth = pending.pop()
        try:
            listing = os.scandir(os.path.join(root, relative) if relative else root)
        except OSError:
            if not relative:
                raise
            scan.unreadable += 1  # removed since, not readable, or a path longer than the system accepts
            continue
        with listing:
            for item in listing:
                if is_unfinished(item.name):
                    scan.unfinished += not item.is_dir(follow_symlinks=False)
                    continue
                path = os.path.join(relative, item.name)
                info = _stat(item, follow_file_links)
                if info is None:
                    continue  # removed between the listing and the look
                if stat.S_ISREG(info.st_mode):
                    yield Entry(path, info.st_size, info.st_mtime_ns, info.st_ino)
                elif not stat.S_ISDIR(info.st_mode):
                    scan.ignored += 1
                elif depth + 1 >= max_depth:
                    scan.too_deep += 1
                elif (info.st_dev, info.st_ino) not in excluded:
                    pending.append((path, depth + 1))


def is_share(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Return whether a folder is on a network file system, where a scan costs more and clocks differ."""
    return file_system_of(folder, mounts) in SHARE_TYPES


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system that a folder is on, e.g. `ext4` or `nfs4`; empty where it is not known."""
    target = os.path.realpath(folder)
    best, kind = "", ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ").rstrip("/")
        if (target == point or target.startswith(point + "/")) and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind


def _stat(item: os.DirEntry[bytes], follow_file_links: bool) -> os.stat_result | None:
    try:
        info = item.stat(follow_symlinks=False)
        if follow_file_links and stat.S_ISLNK(info.st_mode) and item.is_file():
            return item.stat()
    except OSError:
        return None
    return info
