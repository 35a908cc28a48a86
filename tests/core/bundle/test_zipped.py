from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from lungsev.bundle.archive import read_bundle
from lungsev.bundle.contents import CHECKSUM_FILE
from lungsev.bundle.zipped import opened_zip, read_member
from lungsev.bundle.zoo import sums_sha256
from lungsev.errors import BundleError


def zipped(path: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = CHECKSUM_FILE) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_byte_of_a_zip_may_be_damaged(tmp_path: Path, method: int) -> None:
    """Whatever the decompressors raise, it is one error; what is still read is bounded."""
    whole = zipped(tmp_path / "whole.zip", b"0123456789abcdef" * 4, method).read_bytes()
    damaged = tmp_path / "damaged.zip"
    refused = 0
    for place in range(len(whole)):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        for read in (read_bundle, sums_sha256):
            try:
                read(damaged)
            except BundleError:
                refused += 1
    assert refused > len(whole)


@pytest.mark.parametrize("size", [2 << 20, 200 << 20])
def test_a_few_bytes_that_unpack_to_many_are_refused_unread(tmp_path: Path, size: int) -> None:
    bomb = zipped(tmp_path / "bomb.zip", bytes(size), name="model.onnx")
    assert bomb.stat().st_size < size / 900
    with pytest.raises(BundleError, match="claims to unpack"):
        read_bundle(bomb)


def test_a_size_below_what_is_packed_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "short.zip", b"x" * 1000, zipfile.ZIP_STORED)
    with opened_zip(path) as archive:
        member = archive.getinfo(CHECKSUM_FILE)
        member.file_size = 10
        with pytest.raises(zipfile.BadZipFile):
            read_member(archive, member)


def test_what_a_person_packs_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "text.zip", b"grade: 0\n" * 1000)
    with opened_zip(path) as archive:
        assert len(read_member(archive, archive.getinfo(CHECKSUM_FILE))) == 9000
