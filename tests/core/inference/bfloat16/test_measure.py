from __future__ import annotations

import numpy as np
import pytest
from bfloat16_passes import FAR, FakePasses, outputs_of
from tiny_bundle import tiny_manifest

from lungsev.errors import BackendError
from lungsev.grading import Calibration
from lungsev.inference.bfloat16.measure import Compared, changed_after_both, compare_passes, measure_margins

MANIFEST = tiny_manifest(calibration={"brixia": Calibration(decision="median")})
SETTLED = Compared(outputs_of(), outputs_of())
MOVED = Compared(outputs_of([0.02, 0.07, 0.86, 0.05]), outputs_of())  # cumulated .09 instead of .05
CHANGED = Compared(outputs_of([0.1, 0.41, 0.4, 0.09]), outputs_of([0.1, 0.39, 0.42, 0.09]))  # .51 instead of .49


def test_a_margin_is_the_largest_difference() -> None:
    measured = measure_margins([SETTLED, MOVED, CHANGED], MANIFEST, 3, True)
    assert measured.grade_margins["brixia"] == pytest.approx(0.04, abs=2e-5)
    assert measured.confidence_margin == pytest.approx(0.04 / 6, abs=2e-5)
    assert (measured.images, measured.grades, measured.changed, measured.entry_depth) == (3, 18, 1, 3)
    assert measured.again == pytest.approx(1 / 3, abs=1e-4)
    assert measured.emulated


def test_what_one_pass_changed_both_do_not_and_too_small_a_margin_would_be_found() -> None:
    images = [SETTLED, MOVED, CHANGED]
    measured = measure_margins(images, MANIFEST, 3, False)
    assert changed_after_both(images, MANIFEST, measured) == 0
    blind = measured.model_copy(update={"grade_margins": {"brixia": 0.005}, "confidence_margin": 0.0})
    assert changed_after_both(images, MANIFEST, blind) == 1


def test_both_passes_of_an_image_are_kept_without_its_maps() -> None:
    passes = FakePasses(outputs_of(), outputs_of([0.03, 0.02, 0.9, 0.05]))
    compared = compare_passes(passes, np.zeros((1, 1, 512, 512), np.float32))
    assert set(compared.once) == set(compared.twice) == {"probabilities.brixia"}
    assert compared.once["probabilities.brixia"][0, 0].tolist() == pytest.approx(FAR)


def test_no_image_and_no_number_are_refused() -> None:
    with pytest.raises(BackendError, match="give a folder"):
        measure_margins([], MANIFEST, 3, True)
    with pytest.raises(BackendError, match="NaN"):
        measure_margins([Compared(outputs_of([np.nan] * 4), outputs_of())], MANIFEST, 3, True)
