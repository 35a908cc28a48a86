from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungsev import pipeline
from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, BundleError
from lungsev.inference.select import open_backend
from lungsev.phantom import make_non_chest, make_phantom, write_phantom_dicom
from lungsev.pipeline import Scorer, open_scorer
from lungsev.reading.radiograph import Radiograph
from lungsev.report import ImageInfo, SeverityReport


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Bundle) -> Iterator[Scorer]:
    with open_scorer(tiny_bundle.path) as opened:
        yield opened


def radiograph_of(pixels: np.ndarray) -> Radiograph:
    rows, columns = pixels.shape
    return Radiograph(pixels, ImageInfo(rows=rows, columns=columns), (0, 0, rows, columns))


@pytest.fixture(scope="module")
def phantom_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.dcm"
    write_phantom_dicom(make_phantom(3), path)
    return path


def test_a_phantom_is_scored(scorer: Scorer, tiny_bundle: Bundle, phantom_file: Path) -> None:
    scored = scorer.score_file(phantom_file)
    report = scored.report
    assert report.status == "scored", report.message
    assert [region.code for region in report.scores["brixia"].regions] == list("ABCDEF")
    assert report.model is not None
    assert report.model.bundle_sha256 == tiny_bundle.sha256
    assert (report.model.backend, report.model.device, report.model.precision) == ("onnxruntime", "cpu", "fp32")
    assert report.image.sop_instance_uid
    assert report.alignment is not None
    assert SeverityReport.from_json(report.to_json()) == report


def test_what_is_drawn_comes_along(scorer: Scorer, phantom_file: Path) -> None:
    scored = scorer.score_file(phantom_file)
    assert scored.radiograph is not None
    assert scored.canvas is not None
    assert scored.lung_mask is not None
    assert scored.lung_mask.shape == (64, 64)
    assert scored.severity_map["brixia"].shape == (16, 16)


def test_the_stages_are_timed(scorer: Scorer, phantom_file: Path) -> None:
    timing = scorer.score_file(phantom_file).report.timing_ms
    assert min(timing.decode, timing.prepare, timing.infer) > 0
    assert timing.total >= timing.decode + timing.prepare + timing.infer - 0.1


def test_the_same_radiograph_gives_the_same_report(scorer: Scorer, phantom_file: Path) -> None:
    first, second = (scorer.score_file(phantom_file).report for _ in range(2))
    assert first.scores == second.scores
    assert first.quality == second.quality


def test_the_right_lung_is_on_the_left_of_the_image(scorer: Scorer, phantom_file: Path) -> None:
    report = scorer.score_file(phantom_file).report
    centres = {region.code: np.mean([x for x, _ in region.polygon]) for region in report.scores["brixia"].regions}
    assert max(centres[code] for code in "ABC") < min(centres[code] for code in "DEF")


@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_what_is_no_chest_gets_no_numbers(scorer: Scorer, kind: str) -> None:
    scored = scorer.score(radiograph_of(make_non_chest(kind, seed=0)))
    assert scored.report.status == "skipped"
    assert scored.report.reason == scored.report.quality.flags[0].code
    assert scored.report.message == scored.report.quality.flags[0].message
    assert scored.report.quality.verdict == "refused"
    assert not scored.report.scores
    assert scored.report.alignment is None
    assert scored.lung_mask is None
    assert scored.severity_map == {}
    assert scored.canvas is not None


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"not an image at all", None), (b"\0" * 128 + b"DICM" + b"\x08", None)]
)
def test_a_file_that_cannot_be_read_fails_and_raises_nothing(
    scorer: Scorer, tmp_path: Path, content: bytes, code: str | None
) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(content)
    scored = scorer.score_file(path)
    assert scored.report.status == "failed"
    assert scored.report.error
    assert code is None or scored.report.error == code
    assert scored.report.message
    assert scored.radiograph is None
    assert (scored.report.image.sha256 is not None) == bool(content)


def test_a_missing_file_fails(scorer: Scorer, tmp_path: Path) -> None:
    assert scorer.score_file(tmp_path / "none.dcm").report.error == "not_found"


def test_a_pipe_does_not_block(scorer: Scorer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    assert scorer.score_file(tmp_path / "pipe.dcm").report.error == "not_a_file"


@pytest.mark.parametrize(
    ("raised", "code"), [(RecursionError("deep"), "internal_error"), (MemoryError(), "out_of_memory")]
)
def test_a_hole_in_a_decoder_stops_one_radiograph_only_and_names_no_patient(
    scorer: Scorer, phantom_file: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: str
) -> None:
    def broken(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(pipeline, "read_radiograph_bytes", broken)
    report = scorer.score_file(phantom_file).report
    assert (report.status, report.error) == ("failed", code)
    assert "deep" not in str(report.message)
    monkeypatch.undo()
    assert scorer.score_file(phantom_file).report.status == "scored"


class BrokenBackend:
    """Gives what a broken device gives."""

    name, device, precision = "broken", "gpu", "fp16"

    def __init__(self, inner: Any, value: float | None) -> None:
        self._inner, self._value = inner, value

    def infer(self, image: np.ndarray) -> dict[str, np.ndarray]:
        if self._value is None:
            raise BackendError("the GPU stopped")
        outputs = self._inner.infer(image)
        outputs["probabilities.brixia"][...] = self._value
        return dict(outputs)


@pytest.mark.parametrize(("value", "message"), [(None, "GPU stopped"), (np.nan, "NaN or infinity in probabilities")])
def test_a_failing_device_is_not_the_radiograph_s_fault(
    tiny_bundle: Bundle, phantom_file: Path, value: float | None, message: str
) -> None:
    with open_backend(tiny_bundle) as inner:
        broken: Any = BrokenBackend(inner, value)
        with pytest.raises(BackendError, match=message):
            Scorer(tiny_bundle, broken).score_file(phantom_file)


def test_closing_the_scorer_closes_the_backend(tiny_bundle: Bundle, phantom_file: Path) -> None:
    with open_scorer(tiny_bundle.path) as scorer:
        pass
    with pytest.raises(BackendError, match="closed"):
        scorer.score_file(phantom_file)


def test_a_damaged_bundle_opens_no_scorer(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        open_scorer(tmp_path)


def test_notes_of_the_reading_reach_the_report(scorer: Scorer) -> None:
    radiograph = radiograph_of(make_phantom(3).pixels)
    report = scorer.score(replace(radiograph, notes=("side_not_verified",))).report
    assert "side_not_verified" in [flag.code for flag in report.quality.flags]
