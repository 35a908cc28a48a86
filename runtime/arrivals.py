"""File events of the watched folder: when to look, and which files their writers have closed or moved here.

Events are hints. They get lost on network shares, in an overflow and where the kernel grants no more watches. So the
scan decides what is there, and a file that no event told of settles like any other.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

from inotify_simple import INotify, flags

from lungsev.runtime.scan import is_unfinished

log = logging.getLogger("lungsev.runtime.arrivals")

_EVENTS = flags.CLOSE_WRITE | flags.MOVED_TO | flags.CREATE | flags.ONLYDIR | flags.DONT_FOLLOW
_MOST_FOLDERS = 4096  # half of what a small kernel grants one user
_STOP_SECONDS = 0.25  # how long a request to stop may go unseen


class Arrivals:
    """Events of a folder and of the folders in it. Used from one thread."""

    def __init__(self, folder: Path, excluded: frozenset[tuple[int, int]] = frozenset()) -> None:
        """Begin to listen.

        Args:
            folder: The watched folder.
            excluded: (device, inode) of folders to leave out, for example the output folder.
        """
        self._folder = os.fsencode(folder)
        self._excluded = excluded
        self._folders: dict[int, bytes] = {}  # by watch, below the watched folder
        self._events: INotify | None = None
        self._said = False
        self._root: tuple[int, int] | None = None  # device and inode of the folder that is listened to
        self._listen()

    def close(self) -> None:
        """Stop listening."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def wait(self, seconds: float, stop: threading.Event) -> frozenset[bytes]:
        """Wait for an event, but no longer than this.

        Args:
            seconds: The longest time.
            stop: Ends the wait early.

        Returns:
            Paths below the folder of files that were closed by a writer or moved here; empty when the time has passed.
        """
        self._listen()
        deadline = time.monotonic() + seconds
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if self._events is None:
                stop.wait(left)
                break
            happened, arrived = self._read(self._events, min(left, _STOP_SECONDS))
            if happened:
                return frozenset(arrived)
        return frozenset()

    def _listen(self) -> None:
        """Begin to listen, again where another folder has taken the place of the first: it was remade or mounted."""
        try:
            status = os.stat(self._folder)
            if (status.st_dev, status.st_ino) == self._root:
                return
            self._root = (status.st_dev, status.st_ino)
            self.close()
            self._folders.clear()
            self._events = INotify(nonblocking=True)
            self._watch(b"")
        except FileNotFoundError:
            self._root = None
        except OSError as error:
            self._say_without(error)

    def _read(self, events: INotify, seconds: float) -> tuple[bool, set[bytes]]:
        """Return whether it is time to look, and the files that are named."""
        happened, arrived = False, set()
        for event in events.read(timeout=round(seconds * 1000)):
            if event.mask & flags.IGNORED:
                self._folders.pop(event.wd, None)
            elif event.mask & flags.Q_OVERFLOW:
                happened = True
            elif (folder := self._folders.get(event.wd)) is not None:
                path = os.path.join(folder, os.fsencode(event.name))
                if event.mask & flags.ISDIR:
                    self._watch(path)
                    happened = True  # it may hold files already
                elif not event.mask & flags.CREATE and not is_unfinished(os.path.basename(path)):
                    arrived.add(path)
        return happened or bool(arrived), arrived

    def _watch(self, path: bytes) -> None:
        """Listen to a folder and the folders in it."""
        rest = [path]
        while rest and self._events is not None:
            below = rest.pop()
            whole = os.path.join(self._folder, below) if below else self._folder
            if len(self._folders) >= _MOST_FOLDERS or (below and is_unfinished(os.path.basename(below))):
                continue
            try:
                status = os.stat(whole)
                if (status.st_dev, status.st_ino) in self._excluded:
                    continue
                self._folders[self._events.add_watch(whole, _EVENTS)] = below
                with os.scandir(whole) as entries:
                    rest += [
                        os.path.join(below, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)
                    ]
            except FileNotFoundError:
                continue  # it was removed in the meantime
            except OSError as error:  # not readable, or no more watches: the others may be listened to
                self._say_without(error)

    def _say_without(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            log.warning("some folders are looked at every few seconds only, not at once: %s", error.strerror)
