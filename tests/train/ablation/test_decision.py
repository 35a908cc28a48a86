"""The rule gives each of its four answers, and rates are chosen where nothing is measured."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from arm_predictions import trained

from lungsev.errors import ConfigError
from lungsev.train.ablation.decision import (
    Decision,
    DecisionSettings,
    Trained,
    choose,
    decide,
    outcome_of,
    validation_mae,
)
from lungsev.train.evaluation.measurement import difference

RULE = DecisionSettings(arm="PAFE", against=("SN", "CTX"))


def decided(pafe: Trained, sn: Trained, cost: float | None = 0.03) -> Decision:
    arms = {"PAFE": [pafe], "SN": [sn], "CTX": [sn]}
    return decide(arms, RULE, {} if cost is None else {"SN": cost, "CTX": cost})


def test_fewer_errors_in_every_resample_are_better() -> None:
    found = decided(trained(0.2), trained(0.4))
    assert (found.comparisons[0].outcome, found.comparisons[0].ships) == ("better", True)
    assert found.comparisons[0].difference.value < 0
    assert found.lines()[0] == "PAFE is better than SN: it ships."


def test_more_errors_in_every_resample_are_worse() -> None:
    found = decided(trained(0.4), trained(0.2))
    assert (found.comparisons[0].outcome, found.comparisons[0].ships) == ("worse", False)
    assert found.lines()[0] == "PAFE is worse than SN: it stays out."


def test_an_interval_within_the_margin_is_equivalent_and_the_cost_decides() -> None:
    for cost, ships, said in (
        (0.03, True, "PAFE, the paper's method, ships; it costs 3.0 % of the network's time, not more than 10 %"),
        (0.1, True, "10.0 % of the network's time, not more than 10 %"),
        (0.14, False, "and PAFE stays out: it costs 14.0 % of the network's time, more than 10 %"),
        (None, None, "PAFE ships unless it costs more than 10 % of the network's time, which was not measured"),
    ):
        found = decided(trained(0.3), trained(0.3), cost).comparisons[0]
        assert (found.outcome, found.ships) == ("equivalent", ships)
        assert said in found.sentence


def test_an_interval_that_reaches_beyond_the_margin_settles_nothing() -> None:
    found = decided(trained(0.3, patients=14, seed=7), trained(0.3, patients=14))
    low, high = found.comparisons[0].difference.interval or (0.0, 0.0)
    assert low < 0 < high
    assert high - low > 2 * RULE.margin
    assert (found.comparisons[0].outcome, found.comparisons[0].ships) == ("not settled", None)
    assert found.lines()[0] == "PAFE against SN is not settled by these images."


def test_an_end_on_the_margin_is_not_within_it() -> None:
    one = difference(trained(0.3).test, trained(0.3).test, "mae", decision="median")
    for interval, outcome in (
        ((-0.019, 0.019), "equivalent"),
        ((-0.02, 0.01), "not settled"),
        ((-0.01, 0.02), "not settled"),
        ((-0.015, -0.001), "better"),
        ((0.001, 0.015), "worse"),
        ((-0.015, 0.0), "equivalent"),
        ((0.0, 0.015), "equivalent"),
        (None, "not settled"),
    ):
        assert outcome_of(replace(one, interval=interval), RULE) == outcome


def test_a_handful_of_patients_settles_nothing_however_clear_they_are() -> None:
    found = decided(trained(0.0, patients=9), trained(0.9, patients=9))
    assert found.comparisons[0].difference.interval[1] < 0  # type: ignore[index]
    assert found.comparisons[0].outcome == "not settled"


def test_the_rate_is_chosen_on_validation_even_where_the_test_part_prefers_the_other() -> None:
    slow = trained(0.2, 5e-4, validation=0.5)
    fast = trained(0.4, 1.5e-3, validation=0.1)
    assert choose([slow, fast]) is fast
    assert choose([replace(fast, validation=slow.validation), slow]) is slow
    both = [slow, fast]
    found = decide({"PAFE": both, "SN": both, "CTX": both}, RULE)
    assert found.choices[0].rate == 1.5e-3
    assert found.choices[0].validation == {5e-4: validation_mae(slow), 1.5e-3: validation_mae(fast)}
    assert found.comparisons[0].difference.value == 0.0


def test_each_arm_has_the_rate_that_suits_it_and_is_compared_at_it() -> None:
    arms = {
        "PAFE": [trained(0.2, 5e-4, validation=0.1), trained(0.6, 1.5e-3, validation=0.3)],
        "SN": [trained(0.6, 5e-4, validation=0.3), trained(0.4, 1.5e-3, validation=0.1)],
        "CTX": [trained(0.1, 5e-4, validation=0.1), trained(0.4, 1.5e-3, validation=0.3)],
    }
    found = decide(arms, RULE)
    assert {choice.arm: choice.rate for choice in found.choices} == {"PAFE": 5e-4, "SN": 1.5e-3, "CTX": 5e-4}
    assert [each.outcome for each in found.comparisons] == ["better", "worse"]
    document = json.loads(json.dumps(found.to_dict()))
    assert (document["outcome"], document["ships"]) == ("better", True)
    against = document["comparisons"][1]["difference"]
    assert (against["images"], against["patients"], against["seeds"]) == (120, 60, 3)
    assert (against["decision"], against["measure"]) == ("median", "mae")
    assert "3 seeds, 120 images of 60 patients: better" in found.lines()[1]


def test_arms_without_equal_chances_are_not_compared() -> None:
    slow, fast = trained(0.3), trained(0.3, 1.5e-3)
    with pytest.raises(ConfigError, match=r"different rates \(PAFE: 0.0005, 0.0015; SN: 0.0005; CTX: 0.0005\)"):
        decide({"PAFE": [slow, fast], "SN": [slow], "CTX": [slow]}, RULE)
    with pytest.raises(ConfigError, match=r"different numbers of seeds \(PAFE: 3; SN: 2; CTX: 3\)"):
        decide({"PAFE": [slow], "SN": [trained(0.3, seeds=2)], "CTX": [slow]}, RULE)
    with pytest.raises(ConfigError, match="found no row of arm CTX; expected PAFE and SN, CTX"):
        decide({"PAFE": [slow], "SN": [slow]}, RULE)
