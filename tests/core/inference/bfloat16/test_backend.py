from __future__ import annotations

import numpy as np
import pytest
from bfloat16_passes import FAR, MEASURED, FakePasses, outputs_of
from tiny_bundle import tiny_manifest

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.bfloat16.backend import Bfloat16Backend
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.status import describe_backend
from lungsev.phantom import make_phantom
from lungsev.pipeline import Scorer
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo

IMAGE = np.zeros((1, 1, 512, 512), np.float32)
TORN = [0.5, 0.49, 0.005, 0.005]
OTHERWISE = [0.49, 0.5, 0.005, 0.005]


def test_a_settled_image_is_graded_once_and_one_close_to_a_border_again() -> None:
    passes = FakePasses(lambda image: outputs_of(TORN if image.any() else FAR), outputs_of(OTHERWISE))
    with Bfloat16Backend(tiny_manifest(), MEASURED, passes, "faster here") as backend:
        once = backend.infer(IMAGE)
        assert (passes.seconds, backend.precision, backend.reason) == (0, "bf16", "faster here")
        assert once["probabilities.brixia"][0, 0].tolist() == pytest.approx(FAR)
        twice = backend.infer(IMAGE + 1)
        assert (passes.seconds, backend.precision) == (1, "fp32")
        assert backend.reason == (
            "faster here; bfloat16 first, and again in FP32: the brixia grade of A is close to another"
        )
        assert twice["probabilities.brixia"][0, 0].tolist() == pytest.approx(OTHERWISE)
        assert set(twice) == {"theta", "probabilities.brixia"}
        assert (backend.images, backend.graded_again) == (2, 1)
        backend.infer(IMAGE)
        assert str(describe_backend(backend)) == "openvino bf16 on cpu: faster here"
    assert passes.closed


def test_a_report_says_whether_its_image_was_graded_again(tiny_bundle: Bundle) -> None:
    pixels = make_phantom(3, size_px=256).pixels
    radiograph = Radiograph(Brightness(pixels), ImageInfo(), (0, 0, *pixels.shape))
    with OnnxRuntimeBackend(tiny_bundle, threads=1) as fp32:
        outputs = fp32.infer(to_canvas(radiograph).pixels[None, None])
    for margin, precision in ((0.0, "bf16"), (1.0, "fp32")):
        measured = MEASURED.model_copy(update={"grade_margins": {"brixia": margin}, "confidence_margin": 0.0})
        backend = Bfloat16Backend(tiny_bundle.manifest, measured, FakePasses(outputs, outputs), "faster here")
        report = Scorer(tiny_bundle, backend).score(radiograph).report
        assert report.model is not None
        assert (report.model.backend, report.model.precision) == ("openvino", precision)
        assert (report.model.reason == "faster here") == (precision == "bf16")


def test_a_result_that_is_no_number_is_computed_again() -> None:
    passes = FakePasses(outputs_of([np.nan] * 4), outputs_of())
    found = Bfloat16Backend(tiny_manifest(), MEASURED, passes).infer(IMAGE)
    assert np.isfinite(found["probabilities.brixia"]).all()
    assert passes.seconds == 1


def test_an_image_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(BackendError, match="the graph takes"):
        Bfloat16Backend(tiny_manifest(), MEASURED, FakePasses(outputs_of(), outputs_of())).infer(IMAGE[..., 1:])
