from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lungsev
from lungsev import model as model_module
from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, BundleError, SkippedImageError, UnreadableImageError
from lungsev.model import DirectDecoder, Model
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.reading.radiograph import Radiograph
from lungsev.report import SeverityReport


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Iterator[Model]:
    with lungsev.load(tiny_bundle.path, "onnxruntime", sandbox=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def sandboxed(tiny_bundle: Bundle) -> Iterator[Model]:
    with lungsev.load(str(tiny_bundle.path), "onnxruntime") as opened:
        yield opened


@pytest.fixture(scope="module")
def phantom_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.dcm"
    write_phantom_dicom(make_phantom(3), path)
    return path


def test_the_package_has_the_three_names_and_is_imported_without_numpy() -> None:
    program = "import sys, lungsev; print('numpy' in sys.modules, set(lungsev.__all__) <= set(dir(lungsev)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"], done.stderr
    assert lungsev.Report is SeverityReport
    assert lungsev.Model is Model
    with pytest.raises(AttributeError, match="no attribute 'unload'"):
        lungsev.unload  # noqa: B018


@pytest.mark.parametrize("name", ["model", "sandboxed"])
def test_a_path_and_its_bytes_give_the_same_report(
    name: str, phantom_file: Path, request: pytest.FixtureRequest
) -> None:
    opened: Model = request.getfixturevalue(name)
    by_name, by_bytes = opened.score(str(phantom_file)), opened.score(phantom_file.read_bytes())
    assert by_name.status == "scored", by_name.message
    assert by_name.image.sop_instance_uid
    assert by_bytes.scores == by_name.scores
    assert by_bytes.image == by_name.image
    assert by_bytes.quality == by_name.quality


def test_reading_in_the_sandbox_changes_nothing(model: Model, sandboxed: Model, phantom_file: Path) -> None:
    here, there = model.examine(phantom_file), sandboxed.examine(phantom_file)
    assert there.report.scores == here.report.scores
    assert there.report.image == here.report.image
    assert there.source == here.source == phantom_file
    assert there.radiograph is not None
    assert here.radiograph is not None
    np.testing.assert_array_equal(there.radiograph.pixels, here.radiograph.pixels)


def test_an_array_is_scored_without_identity(model: Model) -> None:
    pixels = make_phantom(3).pixels
    report = model.score(np.round(pixels * 255).astype(np.uint8))
    assert report.status == "scored"
    assert (report.image.rows, report.image.columns) == pixels.shape
    assert report.image.sha256 is None
    assert report.image.pixel_sha256
    assert "side_not_verified" in [flag.code for flag in report.quality.flags]
    assert model.examine(pixels).source is None


def test_an_array_that_is_no_image_is_the_callers_mistake(model: Model) -> None:
    with pytest.raises(ValueError, match=r"found float64 \[3, 8, 8\], expected real numbers \[rows, columns\]"):
        model.score(np.zeros((3, 8, 8)))


def test_a_batch_gives_a_report_for_each_image_in_order(model: Model, phantom_file: Path) -> None:
    reports = model.score_batch([phantom_file, b"no image", make_phantom(3).pixels])
    assert [report.status for report in reports] == ["scored", "failed", "scored"]


def test_an_overlay_is_drawn_of_scored_and_of_unreadable_images(model: Model, phantom_file: Path) -> None:
    for image in (phantom_file, b"no image"):
        picture = model.overlay(image)
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert min(picture.shape[:2]) > 500


def test_the_same_radiograph_gives_the_same_report(model: Model, phantom_file: Path) -> None:
    first, second = (model.score(phantom_file) for _ in range(2))
    assert first.scores == second.scores
    assert first.quality == second.quality


@pytest.mark.parametrize("name", ["model", "sandboxed"])
@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"not an image at all", None), (b"\0" * 128 + b"DICM" + b"\x08", None)]
)
def test_a_file_that_cannot_be_read_fails_and_raises_nothing(
    name: str, tmp_path: Path, content: bytes, code: str | None, request: pytest.FixtureRequest
) -> None:
    opened: Model = request.getfixturevalue(name)
    path = tmp_path / "image.dcm"
    path.write_bytes(content)
    for image in (path, content):
        scored = opened.examine(image)
        assert scored.report.status == "failed"
        assert scored.report.error
        assert code is None or scored.report.error == code
        assert scored.report.message
        assert scored.radiograph is None
        assert scored.report.image.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["model", "sandboxed"])
def test_a_missing_file_and_a_pipe_fail_without_blocking(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    opened: Model = request.getfixturevalue(name)
    os.mkfifo(tmp_path / "pipe.dcm")
    assert opened.score(tmp_path / "none.dcm").error == "not_found"
    assert opened.score(tmp_path / "pipe.dcm").error == "not_a_file"
    assert opened.score(tmp_path).error == "not_a_file"


def test_a_check_between_reading_and_scoring_may_skip_the_image(model: Model, phantom_file: Path) -> None:
    def refuse(radiograph: Radiograph) -> None:
        raise SkippedImageError("duplicate", "the image was scored before", radiograph.image)

    report = model.examine_readable(phantom_file, refuse).report
    assert (report.status, report.reason, report.message) == ("skipped", "duplicate", "The image was scored before.")
    assert report.image.sop_instance_uid
    scored = model.examine_readable(phantom_file, lambda radiograph: None)
    assert list(scored.stages_ms) == ["read", "check", "prepare", "infer", "decode"]
    with pytest.raises(UnreadableImageError):
        model.examine_readable(b"no image")


@pytest.mark.parametrize(
    ("raised", "code"), [(RecursionError("deep"), "internal_error"), (MemoryError(), "out_of_memory")]
)
def test_a_hole_in_a_decoder_stops_one_image_only_and_names_no_patient(
    model: Model, phantom_file: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: str
) -> None:
    def broken(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(model_module, "read_radiograph", broken)
    report = model.score(phantom_file)
    assert (report.status, report.error) == ("failed", code)
    assert "deep" not in str(report.message)
    monkeypatch.undo()
    assert model.score(phantom_file).status == "scored"


def test_a_bug_in_the_preparation_fails_one_image_only(
    model: Model, phantom_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RecursionError("deep")

    monkeypatch.setattr(model.scorer, "score", broken)
    report = model.score(phantom_file)
    assert (report.status, report.error) == ("failed", "internal_error")
    assert "deep" not in str(report.message)


def test_a_failing_device_is_raised(model: Model, phantom_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise BackendError("the GPU stopped")

    monkeypatch.setattr(model.scorer.backend, "infer", stopped)
    with pytest.raises(BackendError, match="the GPU stopped"):
        model.score(phantom_file)
    with pytest.raises(BackendError, match="the GPU stopped"):
        model.probe()


def test_a_report_of_the_same_bundle_is_current_unless_it_failed(model: Model, phantom_file: Path) -> None:
    assert model.is_current(model.score(phantom_file))
    assert not model.is_current(model.score(b"no image"))


def test_closing_the_model_closes_the_backend(tiny_bundle: Bundle, phantom_file: Path) -> None:
    with lungsev.load(tiny_bundle.path, sandbox=False) as opened:
        opened.probe()
    with pytest.raises(BackendError, match="closed"):
        opened.score(phantom_file)


def test_a_folder_without_a_bundle_opens_no_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        lungsev.load(tmp_path)


def test_the_direct_decoder_reads_as_the_file_says(phantom_file: Path) -> None:
    decoder = DirectDecoder()
    assert decoder.read(phantom_file).image.sop_instance_uid
    decoder.close()
    assert decoder.read(phantom_file).pixels.ndim == 2
