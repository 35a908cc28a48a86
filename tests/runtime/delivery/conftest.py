"""Destinations and files to send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import Web


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    path = tmp_path / "20261122T081500-3f9a2c7e.json"
    path.write_text('{"status": "scored"}', encoding="utf-8")
    return path


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


@pytest.fixture
def sr_file(tmp_path: Path) -> Path:
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    dataset.SOPInstanceUID = "2.25.1234"
    dataset.PatientID, dataset.Modality = "PHANTOM-1", "SR"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    path = tmp_path / "image.sr.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path
