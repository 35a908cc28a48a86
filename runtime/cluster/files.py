"""Files as sources: folders of this machine, and whatever fsspec opens (object stores, web folders, archives)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lungsev.errors import LungsevError, MissingExtraError, UnreadableImageError
from lungsev.reading.limits import MIB
from lungsev.runtime.cluster.parts import PART_SUFFIX
from lungsev.runtime.cluster.sources import Item, NotFetchedError
from lungsev.runtime.console import display_name
from lungsev.runtime.scan import Scan, is_unfinished, walk_folder

UNFINISHED = "hidden or still being written"
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "crc32c", "CRC", "generation", "version_id")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created", "date_time")


class LocalFiles:
    """A file or a folder of this machine, or of a share that every worker has mounted at the same place."""

    def __init__(self, path: Path, results: Path | None = None) -> None:
        self.name = display_name(path)
        self.left_out: Counter[str] = Counter()
        self._path, self._results = Path(os.path.abspath(path)), results and Path(os.path.realpath(results))

    def images(self) -> Iterator[Item]:
        """Yield the files as `score` takes them from a folder; raises LungsevError."""
        if not self._path.is_dir():
            if not os.path.lexists(self._path):
                raise LungsevError(f"no such file or folder: {self.name}; check the path")
            yield self._item(self._path, os.lstat(self._path))
            return
        scan, root = Scan(), Path(os.path.realpath(self._path))
        try:
            for entry in walk_folder(self._path, scan, follow_file_links=True):
                relative = os.fsdecode(entry.source)
                if relative.endswith(PART_SUFFIX) and (root / relative).parent == self._results:
                    continue
                path = self._path / relative
                version = f"{entry.size}-{entry.mtime_ns}"
                yield Item(readable(os.fspath(path)), os.fspath(path), version, entry.size)
        except OSError as error:
            raise LungsevError(f"cannot list {self.name}: {error.strerror or error}; check the path") from None
        self.left_out.update({UNFINISHED: scan.unfinished, "folder that cannot be listed": scan.unreadable})

    def fetch(self, item: Item, most_bytes: int) -> Path:
        """Return the file itself, which the reading process opens within its own limits."""
        return Path(item.place)

    def _item(self, path: Path, info: os.stat_result) -> Item:
        return Item(readable(os.fspath(path)), os.fspath(path), f"{info.st_size}-{info.st_mtime_ns}", info.st_size)


class RemoteFiles:
    """Files below a URL that fsspec opens, or matching one with `*`.

    Raises:
        LungsevError: fsspec or the driver of this kind of URL is not installed.
    """

    def __init__(self, url: str) -> None:
        self.name = display_name(url.partition("?")[0])
        try:
            passwords = [urlsplit(part).password for part in url.split("::")]
        except ValueError as error:
            raise LungsevError(f"found a URL that is none: {error}; check the address") from None
        if any(password is not None for password in passwords):
            raise LungsevError("found a password in a URL, expected none: it would be kept with the results")
        self.left_out: Counter[str] = Counter()
        self._url, self._is_web = url, url.lower().startswith(("http://", "https://"))
        self._opened: tuple[Any, str] | None = None
        self._open()

    def images(self) -> Iterator[Item]:
        """Yield the files, a page of S3 or one folder's listing in memory at a time; raises LungsevError."""
        files, root = self._open()
        try:
            if any(character in root for character in "*[?") and not files.exists(root):
                found = files.glob(root, detail=True).values()
                yield from (self._item(files, info) for info in found if self._is_image(info))
                return
            if self._is_web and root.endswith("/"):  # where nothing but the address tells folders from files
                yield from self._below(files, root)
                return
            info = files.info(root)
            if info["type"] != "directory":
                yield self._item(files, info)
                return
            if hasattr(files, "call_s3"):
                yield from (self._item(files, info) for info in _s3_pages(files, root) if self._is_image(info, root))
            else:
                yield from self._below(files, root)
        except LungsevError:
            raise
        except Exception as error:  # drivers raise what their libraries raise
            raise LungsevError(
                f"cannot list {self.name}: {_reason(error)}; check the address and the credentials"
            ) from None

    def fetch(self, item: Item, most_bytes: int) -> bytes:
        """Return a file's bytes; raises NotFetchedError and UnreadableImageError."""
        if item.size == 0:
            return b""
        if item.size is not None and item.size > most_bytes:
            raise _too_large(most_bytes)
        files, _ = self._open()
        try:
            with files.open(item.place, "rb") as stream:
                data = stream.read(most_bytes + 1)
        except FileNotFoundError:
            raise NotFetchedError("the file is no longer there", final=True) from None
        except Exception as error:
            raise NotFetchedError(_reason(error)) from None
        if len(data) > most_bytes:
            raise _too_large(most_bytes)
        if item.size is not None and len(data) < item.size:
            raise NotFetchedError(f"it has {len(data)} bytes where {item.size} were listed")
        return bytes(data)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _open(self) -> tuple[Any, str]:
        """Return the file system and the path in it, without a cache of listings, which would hold the archive."""
        if self._opened is None:
            try:
                from fsspec.core import url_to_fs
            except ImportError:
                raise MissingExtraError("a URL as a source", "cluster") from None
            scheme = self._url.partition(":")[0]
            try:
                self._opened = url_to_fs(self._url, use_listings_cache=False, skip_instance_cache=True)
            except ImportError as error:  # of the driver; fsspec says which package has it
                raise LungsevError(f"{scheme}:// needs a driver: {_reason(error)}") from None
            except ValueError as error:
                raise LungsevError(f"cannot open {self.name}: {_reason(error)}; check the address") from None
            except Exception as error:
                raise LungsevError(
                    f"cannot open {self.name}: {_reason(error)}; check the address and the credentials"
                ) from None
        return self._opened

    def _below(self, files: Any, root: str) -> Iterator[Item]:
        pending = [root]
        while pending:
            folder = pending.pop()
            folders = []
            inside = folder.rstrip("/") + "/" if folder.strip("/") else ""
            for info in files.ls(folder, detail=True):
                name = info["name"]
                if name.rstrip("/") == folder.rstrip("/") or not name.startswith(inside):
                    continue  # the marker of the folder itself in a store; a link out of a web folder
                if self._is_web and ("?" in name or "#" in name):
                    continue  # a column to sort by
                if info["type"] == "directory":
                    if not is_unfinished(os.fsencode(_last(name))):
                        folders.append(info["name"])
                elif self._is_image(info):
                    yield self._item(files, info)
            pending += sorted(folders, reverse=True)

    def _is_image(self, info: dict[str, Any], root: str = "") -> bool:
        """Return whether an entry is to be scored, by its name and those of the folders below `root`."""
        if info["type"] == "directory" or info["name"].endswith("/"):
            return False
        parts = info["name"].removeprefix(root).split("/") if root else [_last(info["name"])]
        self.left_out[UNFINISHED] += (unfinished := any(is_unfinished(os.fsencode(part)) for part in parts))
        return not unfinished

    def _item(self, files: Any, info: dict[str, Any]) -> Item:
        place, size = info["name"], info.get("size")
        outer, chained, rest = self._url.partition("::")
        scheme = outer.partition(":")[0]
        name = f"{scheme}://{place.lstrip('/')}::{rest}" if chained else files.unstrip_protocol(place)
        return Item(readable(name), place, _version(info), size if isinstance(size, int) else None)


def readable(name: str) -> str:
    """Return a name that is valid text: bytes that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _version(info: dict[str, Any]) -> str:
    """The store's checksum of a file where it lists one, else size and time."""
    for key in _VERSIONS:
        if info.get(key):
            return str(info[key]).strip('"')
    time = next((str(info[key]) for key in _TIMES if info.get(key)), "")
    size = info.get("size")
    return f"{size}-{time}".rstrip("-") if size is not None else time


def _s3_pages(files: Any, root: str) -> Iterator[dict[str, Any]]:
    """Yield all objects below a prefix of S3, a thousand in memory at a time: millions may have one prefix."""
    bucket, key, _ = files.split_path(root)
    request = {"Bucket": bucket, "Prefix": f"{key.rstrip('/')}/" if key else ""}
    while True:
        page = files.call_s3("list_objects_v2", **request)
        for found in page.get("Contents", ()):
            name = f"{bucket}/{found['Key']}"
            yield {"name": name, "type": "file", "size": found["Size"], "ETag": found.get("ETag")}
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _reason(error: Exception) -> str:
    return display_name(str(error).strip().partition("\n")[0][:300].rstrip(".")) or type(error).__name__


def _too_large(most_bytes: int) -> UnreadableImageError:
    return UnreadableImageError("too_large", f"the file is larger than the limit of {most_bytes // MIB} MiB")
