"""What a worker answers; how whole workers live and die is in test_client.py."""

from __future__ import annotations

import json
import mmap
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from odd_images import image_bytes

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.reading.limits import ReadLimits
from lungsev.reading.read import read_radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo
from lungsev.sandbox import forkserver


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("room", [0, 100, 5000])
def test_pixels_are_sealed_as_they_are(room: int) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4).T  # not contiguous
    table = np.linspace(0, 1, 256, dtype=np.float32)
    descriptor = forkserver._memory_file(room)
    forkserver._seal(descriptor, Brightness(values, table))
    try:
        found = os.pread(descriptor, 6000, 0)
        assert len(found) == 1024 + 12
        np.testing.assert_array_equal(np.frombuffer(found, np.float32, 256), table)
        np.testing.assert_array_equal(np.frombuffer(found, np.uint8, offset=1024).reshape(4, 3), values)
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
        with pytest.raises(PermissionError):
            mmap.mmap(descriptor, len(found), prot=mmap.PROT_WRITE)
    finally:
        os.close(descriptor)


def test_an_answer_holds_what_reading_gives(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(image_bytes())
    limits = ReadLimits()
    forkserver._answer({"path": str(path)}, limits, ends[1], forkserver._memory_file(0))
    message, descriptors, _, _ = socket.recv_fds(ends[0], forkserver.MAX_MESSAGE_BYTES, 1)
    answer, expected = json.loads(message), read_radiograph(path, limits)
    with open(descriptors[0], "rb") as file:
        os.lseek(descriptors[0], 0, os.SEEK_SET)
        whole = file.read()
    table = np.frombuffer(whole, np.float32, answer["table"])
    values = np.frombuffer(whole, answer["values"], offset=table.nbytes).reshape(answer["shape"])
    np.testing.assert_array_equal(table[values], expected.pixels)
    assert ImageInfo(**answer["image"]) == expected.image
    assert tuple(answer["content_box_px"]) == tuple(expected.content_box_px)
    assert tuple(answer["notes"]) == tuple(expected.notes)


@pytest.mark.parametrize(
    ("error", "skipped"),
    [
        (SkippedImageError("lateral", "A lateral image.", ImageInfo(sop_instance_uid="1.2.3")), True),
        (UnreadableImageError("truncated", "The file ends early."), False),
    ],
)
def test_a_refusal_is_told_with_what_is_known(
    error: ImageError, skipped: bool, ends: tuple[socket.socket, socket.socket]
) -> None:
    forkserver._answer_error(error, ends[1])
    image = asdict(error.image) if error.image else None
    assert json.loads(ends[0].recv(forkserver.MAX_MESSAGE_BYTES)) == {
        "error": {"skipped": skipped, "code": error.code, "message": str(error), "image": image}
    }


def test_a_failure_is_never_a_skipped_image(ends: tuple[socket.socket, socket.socket]) -> None:
    forkserver._answer_failure("too_large", "It needs more memory.", ends[1])
    assert json.loads(ends[0].recv(forkserver.MAX_MESSAGE_BYTES)) == {
        "error": {"skipped": False, "code": "too_large", "message": "It needs more memory.", "image": None}
    }
