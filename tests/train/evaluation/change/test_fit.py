from __future__ import annotations

import pytest
from graded_courses import PER_GRADE, READER_VARIANCE, TRUE, simulated_courses

from lungsev.errors import DatasetError
from lungsev.train.evaluation.change.courses import consecutive_pairs
from lungsev.train.evaluation.change.fit import fit_process, fit_regions


def test_the_fit_finds_the_parameters_that_made_the_courses() -> None:
    pairs = consecutive_pairs(simulated_courses(400))
    found = fit_process(pairs, "extent")
    assert found.pairs == 2000
    assert found.shared_error == pytest.approx(TRUE["shared_error"], abs=0.03)
    assert found.drift_per_day == pytest.approx(TRUE["drift_per_day"], rel=0.2)
    assert found.step_share == pytest.approx(TRUE["step_share"], abs=0.06)
    assert found.step_variance == pytest.approx(TRUE["step_variance"], rel=0.2)
    assert found.points_per_grade == pytest.approx(PER_GRADE, rel=0.03)
    assert found.reader_variance == pytest.approx(READER_VARIANCE, rel=0.05)
    shared, scale = fit_regions(pairs, found)  # a region is a sixth of the total here
    assert scale == pytest.approx(1 / 36, rel=0.1)
    assert (1 - shared) * 2 * 0.5 == pytest.approx((1 - found.shared_error) * 2 * 3.5 / 36, rel=0.1)


def test_too_few_graded_pairs_are_refused_with_their_number() -> None:
    with pytest.raises(DatasetError, match="pairs of consecutive graded images: found 15, expected at least 50"):
        fit_process(consecutive_pairs(simulated_courses(3)), "extent")
    with pytest.raises(DatasetError, match="found 0, expected"):
        fit_process(consecutive_pairs(simulated_courses(3)), "opacity")
