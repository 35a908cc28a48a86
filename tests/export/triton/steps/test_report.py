from __future__ import annotations

from pathlib import Path

import fake_triton
import numpy as np
import pytest

from lungsev.export.triton.config import PREPROCESS, REPORT
from lungsev.report import SeverityReport


def test_a_batch_gets_a_report_for_each_image(server: fake_triton.FakeServer, image: Path) -> None:
    files = np.array([[b"no image at all"], [image.read_bytes()]], dtype=object)
    prepared = server.infer(PREPROCESS, {"file": files})
    found = server.infer("lungsev_python", {"image": prepared["image"]})
    reports = server.infer(REPORT, prepared | found)["report"]
    assert reports.shape == (2, 1)
    first, second = (SeverityReport.from_json(report) for report in reports.reshape(-1))
    assert (first.status, first.error, second.status) == ("failed", "not_dicom", "scored")


def test_a_network_without_numbers_is_an_error_and_no_report(server: fake_triton.FakeServer, image: Path) -> None:
    prepared = server.infer(PREPROCESS, {"file": np.array([[image.read_bytes()]], dtype=object)})
    found = server.infer("lungsev_python", {"image": prepared["image"]})
    found["probabilities.brixia"] = np.full_like(found["probabilities.brixia"], np.nan)
    with pytest.raises(fake_triton.InferenceServerException, match=r"NaN or infinity in probabilities\.brixia"):
        server.infer(REPORT, prepared | found)
