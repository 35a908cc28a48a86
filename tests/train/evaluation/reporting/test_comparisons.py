"""Pairs that answer a question are tested, and p-values corrected for how many there are."""

from __future__ import annotations

import numpy as np
from report_runs import read_images, run

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.measurement import difference
from lungsev.train.evaluation.reporting.comparisons import compare, holm, shown_p
from lungsev.train.evaluation.reporting.run_report import RunReport

INHA = load_scheme("inha")


def test_pairs_are_tested_on_every_part_and_of_many_runs_only_those_that_answer_a_question(
    runs: list[RunReport],
) -> None:
    found = compare(runs)
    assert [f"{second} minus {first}" for first, second, part in found.pairs() if part == "consensus"] == [
        "CXR-CLIP minus BS-Net",
        "SN minus CXR-CLIP",
        "PAFE minus CXR-CLIP",
        "mask attention minus CXR-CLIP",
        "SN minus BS-Net",
        "PAFE minus BS-Net",
        "mask attention minus BS-Net",
        "PAFE minus SN",
    ]
    assert len(found) == 8 * 2 * 2  # parts and measures
    assert len(compare(runs[:3])) == 3 * 2 * 2


def test_another_start_is_tested_against_the_start_from_scratch_whatever_their_order(runs: list[RunReport]) -> None:
    source = {"source": "runs/brixia/one"}
    tuned = [run(f"tuned {n}", {"test": read_images(12, 0.5, n)}, source, backbone="resnet34") for n in range(2)]
    scratch = run("scratch", {"test": read_images(12, 0.5, 9)}, backbone="resnet34")
    pairs = [pair[:2] for pair in compare([runs[0], *tuned, scratch, runs[4]]).pairs()]
    assert {("scratch", "tuned 0"), ("scratch", "tuned 1")} <= set(pairs)
    assert ("tuned 0", "tuned 1") not in pairs


def test_a_test_is_the_paired_difference_with_its_corrected_p_value() -> None:
    pair = [run("a", {"test": read_images(48, 0.3)}), run("b", {"test": read_images(48, 1.5)})]
    found = compare(pair)
    accuracy = found.of(pair[0], pair[1], "test", "accuracy")
    assert accuracy is not None
    assert accuracy.difference == difference(pair[0].parts["test"], pair[1].parts["test"], "accuracy")
    p_values = [test.difference.p_value for test in found.tests.values()]
    assert [test.p_holm for test in found.tests.values()] == holm(p_values)
    assert found.of(pair[1], pair[0], "test", "accuracy") is None


def test_runs_of_other_images_or_another_scheme_are_not_tested() -> None:
    parts = [read_images(12, 0.5), read_images(12, 0.5, part="elsewhere"), read_images(12, 0.5, scheme=INHA)]
    assert len(compare([run(name, {"test": part}) for name, part in zip("abc", parts, strict=True)])) == 0


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    # By hand: 0.01 * 4 = 0.04, 0.02 * 3 = 0.06, 0.03 * 2 = 0.06, 0.5 * 1.
    np.testing.assert_allclose(holm([0.5, 0.01, 0.03, 0.02]), [0.5, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_p_values_are_shown_with_two_digits_that_count() -> None:
    assert [shown_p(p) for p in (0.0004, 0.0123, 0.456, 1.0)] == ["< 0.001", "0.012", "0.46", "1.00"]
