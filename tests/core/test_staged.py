from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lungsev
from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, BundleError, LungsevError
from lungsev.inference.backend import Outputs
from lungsev.model import DirectDecoder, Model
from lungsev.phantom import make_non_chest, make_phantom, write_phantom_dicom
from lungsev.phantom.picture_writer import write_picture
from lungsev.report import SeverityReport
from lungsev.staged import Prepared, Stages, open_stages


@pytest.fixture(scope="module")
def model(tiny_bundle: Bundle) -> Iterator[Model]:
    with lungsev.load(tiny_bundle.path, "onnxruntime", sandbox=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def stages(tiny_bundle: Bundle) -> Stages:
    return open_stages(tiny_bundle.path, "triton", "gpu", "fp16", "as a test says")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(4, size_px=256), tmp_path_factory.mktemp("image") / "image.dcm")


@pytest.fixture(scope="module")
def prepared(stages: Stages, image: Path) -> Prepared:
    return stages.prepare(image.read_bytes(), DirectDecoder())


@pytest.fixture(scope="module")
def outputs(model: Model, prepared: Prepared) -> Outputs:
    return model.scorer.backend.infer(prepared.pixels)


def staged_report(stages: Stages, model: Model, data: bytes) -> SeverityReport:
    prepared = stages.prepare(data, DirectDecoder())
    return stages.conclude(prepared, model.scorer.backend.infer(prepared.pixels))


def without_model_and_times(report: SeverityReport) -> SeverityReport:
    return replace(report, model=None, timing_ms=lungsev.report.Timing())


def test_two_stages_give_what_one_gives(
    stages: Stages, model: Model, image: Path, prepared: Prepared, outputs: Outputs
) -> None:
    report, expected = stages.conclude(prepared, outputs), model.score(image)
    assert report.status == "scored"
    assert without_model_and_times(report) == without_model_and_times(expected)
    assert report.patient == expected.patient
    assert report.acquired == expected.acquired


def test_the_report_says_whose_network_ran_and_how_long_the_image_waited(
    stages: Stages, prepared: Prepared, outputs: Outputs, tiny_bundle: Bundle
) -> None:
    report = stages.conclude(prepared, outputs)
    assert report.model is not None
    assert report.model.bundle_sha256 == tiny_bundle.sha256
    assert (report.model.backend, report.model.device, report.model.precision) == ("triton", "gpu", "fp16")
    timing = report.timing_ms
    assert min(timing.decode, timing.prepare, timing.infer) > 0
    assert timing.total >= timing.decode + timing.prepare + timing.infer


def test_an_image_that_no_one_may_score_keeps_its_reason(stages: Stages, model: Model, tmp_path: Path) -> None:
    pixels = np.round(make_non_chest("constant", 1) * 255).astype(np.uint8)
    for data in (b"no image at all", write_picture(tmp_path / "hand.png", pixels).read_bytes()):
        report, expected = staged_report(stages, model, data), model.score(data)
        assert report.status != "scored"
        assert without_model_and_times(report) == without_model_and_times(expected)


def test_an_image_that_was_refused_before_the_network_is_zeros_to_it(stages: Stages) -> None:
    prepared = stages.prepare(b"no image at all", DirectDecoder())
    assert prepared.pixels.shape == (1, 1, 512, 512)
    assert not prepared.pixels.any()


def test_a_network_that_gives_no_numbers_is_no_fault_of_the_image(
    stages: Stages, prepared: Prepared, outputs: Outputs
) -> None:
    nothing = np.full_like(outputs["probabilities.brixia"], np.nan)
    with pytest.raises(BackendError, match=r"NaN or infinity in probabilities\.brixia"):
        stages.conclude(prepared, outputs | {"probabilities.brixia": nothing})


def test_outputs_that_do_not_fit_fail_the_one_image_and_keep_what_is_known_of_it(
    stages: Stages, prepared: Prepared, outputs: Outputs, image: Path
) -> None:
    report = stages.conclude(prepared, {name: outputs[name] for name in ("lung_mask", "theta")})
    assert (report.status, report.error) == ("failed", "internal_error")
    assert report.image.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()


def test_a_context_from_elsewhere_is_refused(stages: Stages) -> None:
    with pytest.raises(ValueError, match="frame"):
        stages.conclude(Prepared(np.zeros((1, 1, 512, 512), np.float32), json.dumps({"notes": []})), {})


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("manifest.yaml", b"name: tiny", b"name: tidy", r"manifest\.yaml was changed or damaged"),
        ("SHA256SUMS", b"manifest.yaml", b"manifest.yml", r"found sha256 .*, expected none"),
    ],
)
def test_a_changed_description_is_refused(
    tiny_bundle: Bundle, tmp_path: Path, name: str, old: bytes, new: bytes, message: str
) -> None:
    for file in ("manifest.yaml", "SHA256SUMS"):
        shutil.copy(tiny_bundle.path / file, tmp_path)
    changed = (tmp_path / name).read_bytes()
    assert old in changed
    (tmp_path / name).write_bytes(changed.replace(old, new))
    with pytest.raises(BundleError, match=message):
        open_stages(tmp_path, "triton", "cpu", "fp32", "")


def test_a_missing_description_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match=r"cannot read the model's description in .*: No such file"):
        open_stages(tmp_path, "triton", "cpu", "fp32", "")


def test_another_preprocessing_version_is_refused(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.bundle.contents.PREPROCESSING_VERSION", "0")
    with pytest.raises(BundleError, match=r"was made for preprocessing version '\d+', this lungsev .* version '0'"):
        open_stages(tiny_bundle.path, "triton", "cpu", "fp32", "")
