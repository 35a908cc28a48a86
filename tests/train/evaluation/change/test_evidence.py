"""Evidence of change: schemes that see more of it are preferred, alone or together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graded_courses import simulated_courses

from lungsev.train.evaluation.change.courses import Course, CourseImage
from lungsev.train.evaluation.change.evidence import (
    Evidence,
    candidates,
    choose_evidence,
    fit_evidence,
    with_evidence,
)


def courses_with(noise: dict[str, float], patients: int = 40) -> list[Course]:
    """Courses whose further schemes see the readers' mean with noise; `brixia` is as simulated."""
    rng = np.random.default_rng(5)

    def seen(image: CourseImage) -> CourseImage:
        mean = float(np.mean(image.readings["extent"]))
        more = {name: (mean + float(rng.normal(0, sd)), 0.4) for name, sd in noise.items()}
        return replace(image, schemes={**image.schemes, **more})

    return [tuple(map(seen, course)) for course in simulated_courses(patients)]


def test_the_shown_scheme_each_other_the_others_and_all_are_compared() -> None:
    assert candidates(["a"], "a") == [("a",)]
    assert candidates(["a", "b"], "a") == [("a",), ("b",), ("a", "b")]
    assert candidates(["b", "a", "c"], "a") == [("a",), ("b",), ("c",), ("b", "c"), ("a", "b", "c")]


def test_a_scheme_that_sees_more_tells_the_change_and_noise_does_not() -> None:
    courses = courses_with({"good": 0.1})
    chosen, compared = choose_evidence(courses, "extent", "brixia")
    assert chosen.schemes("brixia") == ("good",)
    assert compared["good"]["rate"] > compared["brixia"]["rate"] + 0.1
    worse, compared = choose_evidence(courses_with({"noise": 9.0}), "extent", "brixia")
    assert worse == Evidence()
    assert set(compared) == {"brixia", "noise", "brixia + noise"}


def test_two_schemes_with_errors_of_their_own_are_better_together() -> None:
    courses = courses_with({"one": 1.0, "two": 1.0})
    chosen, compared = choose_evidence(courses, "extent", "brixia")
    assert {"one", "two"} <= set(chosen.schemes("brixia"))
    assert compared["one + two"]["rate"] > max(compared["one"]["rate"], compared["two"]["rate"])
    assert all(weight > 0 for _, weight in chosen.weights)


def test_the_sum_is_on_the_scale_of_the_shown_total() -> None:
    courses = courses_with({"one": 1.0})
    seen = with_evidence(courses, fit_evidence(courses, "extent", "brixia", ("brixia", "one")))
    before, after = (np.array([image.total.mean for course in part for image in course]) for part in (courses, seen))
    assert after.mean() == pytest.approx(before.mean(), abs=1e-3)
    assert after.std() == pytest.approx(before.std(), rel=1e-3)
    first, shown = seen[0][0].total, courses[0][0].total
    assert first.points == shown.points
    assert first.variance != shown.variance


def test_evidence_that_moves_against_the_readers_gets_no_weight_unless_there_is_no_other() -> None:
    courses = courses_with({"one": 0.5})
    turned = [
        tuple(replace(image, schemes={**image.schemes, "one": (-image.schemes["one"][0], 0.4)}) for image in course)
        for course in courses
    ]
    both = fit_evidence(turned, "extent", "brixia", ("brixia", "one"))
    assert both.schemes("brixia") == ("brixia",)
    assert with_evidence(courses, Evidence()) == courses
