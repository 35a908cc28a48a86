"""One value for one question, equal to what scikit-learn and SciPy say of the same grades."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from graded_runs import predictions
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from lungsev.train.evaluation.measurement import FEW_PATIENTS, difference, measure
from lungsev.train.evaluation.predictions import Predictions


def some(count: int = 60, seed: int = 0, patients: int = 20) -> Predictions:
    found = predictions(count, seed, ("senior",))
    return replace(found, patients=tuple(f"patient-{row % patients}" for row in range(count)))


def test_values_are_those_of_other_libraries() -> None:
    graded = some()
    truth, said = graded.reference, graded.grades("argmax")
    expected = {
        "accuracy": accuracy_score(truth.ravel(), said.ravel()),
        "mae": mean_absolute_error(truth.ravel(), said.ravel()),
        "within_one": float((np.abs(truth - said) <= 1).mean()),
        "kappa": cohen_kappa_score(truth.ravel(), said.ravel(), weights="quadratic"),
        "region_kappa": np.mean([cohen_kappa_score(truth[:, r], said[:, r], weights="quadratic") for r in range(6)]),
        "total_mae": mean_absolute_error(truth.sum(1), said.sum(1)),
        "total_bias": float((said.sum(1) - truth.sum(1)).mean()),
        "total_r": pearsonr(truth.sum(1), said.sum(1))[0],
    }
    for name, value in expected.items():
        assert measure(graded, name, resamples=0).value == pytest.approx(value, abs=1e-12), name


def test_the_paper_takes_the_argmax_and_other_decisions_are_labelled() -> None:
    graded = some()
    assert measure(graded, "mae", resamples=0).label() == "MAE (argmax), grades"
    median, expected = (measure(graded, "mae", decision=name, resamples=0) for name in ("median", "expected"))
    assert median.label() == "MAE (median), grades"
    assert expected.value == pytest.approx(float(np.abs(graded.expected - graded.reference).mean()))
    with pytest.raises(ValueError, match="accuracy cannot be of the decision expected"):
        measure(graded, "accuracy", decision="expected")


def test_regions_and_lungs_are_measured_alone() -> None:
    graded = some()
    truth, said = graded.reference, graded.grades()
    assert measure(graded, "accuracy", region="B", resamples=0).value == pytest.approx((truth == said)[:, 1].mean())
    right = measure(graded, "total_r", region="right", resamples=0)
    assert right.value == pytest.approx(pearsonr(truth[:, :3].sum(1), said[:, :3].sum(1))[0])
    with pytest.raises(ValueError, match="has no region Q"):
        measure(graded, "accuracy", region="Q")


def test_a_region_without_a_reference_counts_nowhere_and_its_image_has_no_total() -> None:
    graded = some()
    graded.readings["senior"][:30, 2] = np.nan
    known = ~np.isnan(graded.reference)
    assert known.sum() == 60 * 6 - 30
    hits = (graded.reference == graded.grades())[known]
    assert measure(graded, "accuracy", resamples=0).value == pytest.approx(hits.mean())
    assert measure(graded, "total_mae", resamples=0).images == 30
    complete = graded.select(range(30, 60))
    for name in ("total_mae", "total_r", "total_icc", "limit_low"):
        assert measure(graded, name, resamples=0).value == pytest.approx(measure(complete, name, resamples=0).value)
    assert measure(graded, "ece", resamples=0).value == pytest.approx(_ece(graded, known))
    assert np.isnan(measure(graded.select([]), "accuracy", resamples=0).value)


def _ece(graded: Predictions, known: np.ndarray) -> float:
    confidence = graded.probabilities.max(axis=-1)[known]
    hit = (graded.grades() == graded.reference)[known]
    edges = np.linspace(0, 1, 16)
    bins = [(confidence > low) & (confidence <= high) for low, high in itertools.pairwise(edges)]
    gaps = [abs(hit[member].mean() - confidence[member].mean()) * member.mean() for member in bins if member.any()]
    return float(sum(gaps))


def test_copies_of_a_patients_images_do_not_narrow_the_interval() -> None:
    once = some(30, 1, 30)
    twice = once.select([*range(30), *range(30)])
    twice = replace(twice, names=tuple(f"{row}" for row in range(60)))
    assert measure(twice, "accuracy").interval == pytest.approx(measure(once, "accuracy").interval)
    by_image, by_patient = (measure(twice, "accuracy", resampled=unit).interval for unit in ("images", "patients"))
    assert by_image is not None
    assert by_patient is not None
    assert by_image[1] - by_image[0] < 0.85 * (by_patient[1] - by_patient[0])
    assert measure(twice, "accuracy").patients == 30


def test_the_same_question_has_the_same_answer() -> None:
    assert measure(some(), "kappa") == measure(some(), "kappa")
    assert measure(some(), "ece").bins == 15


def test_a_value_of_few_patients_or_a_wide_interval_says_so() -> None:
    few = measure(some(40, 0, FEW_PATIENTS - 1), "accuracy")
    assert few.caution == "9 patients: too few to say anything"
    assert measure(some(12, 0, 12), "total_r").caution == "interval too wide to say much"
    assert measure(some(600, 0, 200), "accuracy").caution == ""


def test_what_was_fitted_on_the_images_shown_is_called_no_measurement() -> None:
    fitted = replace(some(600, 0, 200), fitted_on="validation")
    assert "no measurement" in measure(fitted, "ece", "validation").caution
    assert measure(fitted, "ece", "test").caution == measure(fitted, "accuracy", "validation").caution == ""


def test_seeds_have_a_mean_a_spread_and_an_interval_over_patients() -> None:
    seeds = [replace(some(), probabilities=some(60, seed).probabilities) for seed in (0, 5, 6)]
    values = [measure(seed, "mae", resamples=0).value for seed in seeds]
    found = measure(seeds, "mae")
    assert (found.value, found.sd, found.seeds) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        3,
    )
    assert found.patient_sd is not None
    assert found.patient_sd > 0
    assert "±" in found.text()
    with pytest.raises(ValueError, match="seeds must be of the same images"):
        measure([some(60), some(50)], "mae")


def test_a_difference_is_paired_by_patient() -> None:
    first = some()
    better = replace(first, probabilities=np.eye(4)[first.reference_index])
    found = difference(first, better, "accuracy")
    assert found.value == pytest.approx(1 - measure(first, "accuracy", resamples=0).value)
    assert found.interval is not None
    assert found.interval[0] > 0
    assert found.p_value == pytest.approx(2 / 2001)
    same = difference(first, first, "accuracy")
    assert (same.value, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)
    half = difference(first, better.select(range(10, 40)), "mae")
    assert half.images == 30
    assert difference([first, first], [better], "mae").value == pytest.approx(difference(first, better, "mae").value)


def test_a_difference_of_correlations_is_what_resampling_by_hand_gives() -> None:
    first, second = some(), replace(some(), probabilities=some(60, 9).probabilities)
    found = difference(first, second, "total_r", resamples=300)
    generator = np.random.default_rng(0)
    patients = np.array(first.patients)
    unique = np.unique(patients)
    draws = []
    for drawn in generator.integers(0, len(unique), (300, len(unique))):
        rows = np.concatenate([np.flatnonzero(patients == unique[index]) for index in drawn])
        values = [measure(each.select(rows), "total_r", resamples=0).value for each in (first, second)]
        draws.append(values[1] - values[0])
    assert found.interval == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def test_values_are_shown_with_unit_and_interval() -> None:
    found = replace(measure(some(), "accuracy"), value=0.631, interval=(0.58, 0.682))
    assert (found.text(), found.label()) == ("63.1 [58.0, 68.2]", "accuracy (argmax), %")
    assert found.source() == "test part: 60 images of 20 patients"
    assert replace(found, value=float("nan")).text() == "-"
    assert replace(found, value=float("nan")).to_dict()["value"] is None
    assert difference(some(), some(), "accuracy").text() == "+0.0 [+0.0, +0.0]"
