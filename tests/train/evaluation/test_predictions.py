"""Which reader is the reference, and predictions that survive the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.errors import LungsevError
from lungsev.train.evaluation.predictions import Predictions, common, join, ranked_readers


def test_a_reader_whom_some_image_puts_first_stays_first() -> None:
    assert ranked_readers([["radiologist"], ["consensus", "radiologist"], ["radiologist"]]) == [
        "consensus",
        "radiologist",
    ]
    joined = join([predictions(3, 0, ("radiologist",)), predictions(2, 1, ("consensus", "radiologist"))])
    assert list(joined.readings) == ["consensus", "radiologist"]
    assert np.array_equal(joined.reference[3:], joined.readings["consensus"][3:])


def test_saved_predictions_are_read_back_with_what_no_reader_read(tmp_path: Path) -> None:
    saved = predictions(5, 0)
    saved.readings["junior"][3] = np.nan
    saved.save(tmp_path / "p.json")
    found = Predictions.load(tmp_path / "p.json")
    assert (found.names, found.view_positions, found.scheme) == (saved.names, saved.view_positions, saved.scheme)
    np.testing.assert_array_equal(found.readings["junior"], saved.readings["junior"])
    np.testing.assert_allclose(found.probabilities, saved.probabilities, atol=1e-6)
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(LungsevError, match="run `lungsev-train evaluate`"):
        Predictions.load(tmp_path / "p.json")


def test_the_reference_is_the_first_grade_given_and_rounded_to_the_scheme() -> None:
    graded = predictions(2, 0)
    graded.readings["senior"][:] = [[0.2] * 6, [np.nan] * 6]
    graded.readings["junior"][:] = [[3.0] * 6, [1.9] * 6]
    assert graded.reference.tolist() == [[0.0] * 6, [2.0] * 6]
    assert graded.reference_index.tolist() == [[0] * 6, [2] * 6]


def test_a_region_that_the_first_reader_left_out_stays_unknown() -> None:
    graded = predictions(2, 0)
    graded.readings["senior"][0, 2] = np.nan
    assert np.isnan(graded.reference[0]).tolist() == [False, False, True, False, False, False]
    assert graded.reference_index[0, 2] == -1


def test_intervals_and_what_was_fitted_survive_disk_choice_and_joining(tmp_path: Path) -> None:
    graded = replace(
        predictions(3, 0), intervals=np.array([[1.0, 4.0], [2.0, 5.0], [np.nan, np.nan]]), fitted_on="test"
    )
    graded.save(tmp_path / "p.json")
    found = Predictions.load(tmp_path / "p.json")
    np.testing.assert_array_equal(found.intervals, graded.intervals)
    assert (found.fitted_on, found.stated_coverage) == ("test", 0.8)
    assert found.select([1]).intervals.tolist() == [[2.0, 5.0]]
    both = join([graded, predictions(2, 1)])
    assert np.isnan(both.intervals[3:]).all()


def test_images_in_common_have_one_order_and_one_reference() -> None:
    first = predictions(6, 0)
    second = first.select([4, 3, 2, 1])
    second.readings["senior"][0] = 3 - second.readings["senior"][0]
    (one,), (other,) = common([first], [second])
    assert one.names == other.names == ("image-1", "image-2", "image-3")
    with pytest.raises(ValueError, match="different schemes"):
        common([first], [replace(first, scheme=first.scheme.model_copy(update={"name": "other"}))])
