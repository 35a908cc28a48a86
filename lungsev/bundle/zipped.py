"""Zipped bundles from elsewhere: read within what they claim, and what is damaged is told in one way.

zipfile raises whatever its decompressors do, and a few kilobytes of zeros unpack to gigabytes.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lungsev.errors import BundleError

MAX_EXPANSION = 20  # unpacked over packed bytes; weights reach 1.2, the tables of a manifest 8
EXPANSION_FLOOR_BYTES = 1 << 20


@contextlib.contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip to read.

    Raises:
        BundleError: It is damaged.
        OSError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (BundleError, OSError, MemoryError):
        raise
    except Exception as error:  # of zlib, lzma, struct, codecs: what a damaged zip meets
        raise BundleError(f"{path} is not a readable zip ({error}); copy it again") from None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a file of a zip.

    Raises:
        BundleError: It claims to be far larger than what is packed can hold.
        Exception: It is damaged; see `opened_zip`.
    """
    if member.file_size > max(EXPANSION_FLOOR_BYTES, MAX_EXPANSION * member.compress_size):
        raise BundleError(
            f"{member.filename!r} claims to unpack {member.compress_size} bytes to {member.file_size}; a bundle holds "
            "no such file: export it again"
        )
    with archive.open(member) as stream:  # the size is a claim: read no more than it
        return stream.read(member.file_size + 1)
