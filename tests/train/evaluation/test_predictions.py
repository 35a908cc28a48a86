"""Which reader is the reference, and predictions that survive the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.errors import LungsevError
from lungsev.grading import Calibration
from lungsev.train.evaluation.predictions import Predictions, join, ranked_readers, second_reader, summarise


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


def test_the_second_reader_counts_where_both_read() -> None:
    graded = predictions(4, 0)
    graded.readings["junior"][:] = graded.readings["senior"]
    graded.readings["junior"][0] = np.nan
    found = second_reader(graded)
    assert found is not None
    assert (found.images, found.accuracy) == (3, 1.0)
    assert second_reader(predictions(4, 0, ("senior",))) is None


def test_the_summary_counts_how_many_totals_lie_in_their_interval() -> None:
    graded = predictions(6, 0, ("senior",))
    graded.probabilities[:] = np.eye(4)[graded.reference_index]
    found = summarise(graded, Calibration(decision="median", coverage=0.8))
    assert found["median"]["accuracy"] == found["argmax"]["accuracy"] == 1.0
    assert found["interval"] == {"stated_coverage": 0.8, "coverage": 1.0, "mean_width": 0.0}
    assert "second_reader" not in found
