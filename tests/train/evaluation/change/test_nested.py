"""Each patient's changes are judged with what was fitted to others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graded_courses import TRUE, simulated_courses

from lungsev.errors import DatasetError
from lungsev.train.evaluation.change import nested
from lungsev.train.evaluation.change.courses import Course, fold_of
from lungsev.train.evaluation.change.nested import FOLDS, FittedChange, fit_change, judge_nested

COURSES = [
    tuple(replace(image, day=image.day / 2) for image in course) for course in simulated_courses(40, step_share=0.05)
]


def test_the_fit_of_all_holds_parameters_in_their_range_and_a_threshold() -> None:
    fitted = fit_change(COURSES, "extent", "brixia")
    assert fitted.repeatability.shared_error == pytest.approx(TRUE["shared_error"], abs=0.25)
    assert 0.5 < fitted.repeatability.call_from < 1
    assert fitted.repeatability.evidence == ()
    assert list(fitted.compared) == ["brixia"]
    assert fitted.process.pairs == 40 * 5


def test_a_fit_that_finds_no_noise_is_kept_in_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = replace(fit_change(COURSES, "extent", "brixia").process, shared_error=1.0, step_share=1.0)
    monkeypatch.setattr(nested, "fit_process", lambda pairs, truth: exact)
    measured = fit_change(COURSES, "extent", "brixia").repeatability
    assert (measured.shared_error, measured.step_share) == (0.999, 0.999)


def test_no_patient_is_judged_by_a_fit_that_saw_the_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted_on: list[set[str]] = []
    known = fit_change(COURSES, "extent", "brixia")

    def fit(courses: list[Course], truth: str, shown: str) -> FittedChange:
        fitted_on.append({course[0].patient for course in courses})
        return known

    monkeypatch.setattr(nested, "fit_change", fit)
    judged, folds = judge_nested(COURSES, "extent", "brixia")
    everyone = {course[0].patient for course in COURSES}
    assert len(judged.alone) == len(judged.in_course) == 40 * 5
    assert sum(fold["patients"] for fold in folds) == 40
    assert len(fitted_on) == FOLDS
    for fold, patients in enumerate(fitted_on):
        assert everyone - patients == {patient for patient in everyone if fold_of(patient, FOLDS) == fold}


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(DatasetError, match="expected at least 50"):
        judge_nested(COURSES[:6], "extent", "brixia")
