"""A repository of the tiny bundle whose network runs in Python, and a stand-in of the server that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fake_triton
import pytest

from lungsev.bundle.archive import Bundle
from lungsev.export.triton.config import TritonOptions
from lungsev.export.triton.repository import triton_from_bundle
from lungsev.model import DirectDecoder
from lungsev.phantom import make_phantom, write_phantom_dicom


@pytest.fixture(scope="session")
def repository(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("triton") / "models"
    triton_from_bundle(tiny_bundle, out, TritonOptions("python", max_batch=4, workers=1))
    return out


class QuickSandbox(DirectDecoder):
    """Reads in this process; the real server's worker reads in its own, as everywhere."""

    def start(self) -> None:
        pass


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[fake_triton.FakeServer]:
    with pytest.MonkeyPatch.context() as patch:  # while the steps are loaded; the session's other tests have their own
        patch.setattr("lungsev.sandbox.client.Sandbox", QuickSandbox)
        running = fake_triton.FakeServer(repository)
    yield running
    running.close()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(4, size_px=256), tmp_path_factory.mktemp("image") / "image.dcm")
