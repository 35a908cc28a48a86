"""What is printed of the figures."""

from __future__ import annotations

from dataclasses import asdict, replace

from graded_courses import simulated_courses
from measured import MEASURED

from lungsev.train.evaluation.change.figures import figures, judge
from lungsev.train.evaluation.change.lines import lines_of

ROW = {"pairs": 9, "patients": 4, "rate": 0.5, "interval": [0.25, 0.75]}


def test_parameters_evidence_and_the_three_aims_are_told_with_counts_and_intervals() -> None:
    measured = replace(MEASURED, evidence=(("brixia", 0.5), ("ralo", 1.25)))
    test = figures(judge(simulated_courses(20), MEASURED))
    found = {"parameters": asdict(measured), "compared": {"brixia": ROW, "ralo": ROW}, "folds": [1, 2], "test": test}
    lines = list(lines_of(found))
    assert lines[0].startswith("Repeatability: shared_error 0.55, drift_per_day 0.5")
    assert "evidence" not in lines[0]
    assert "  ralo: 0.500 (0.250 to 0.750) of 9 pairs of 4 patients" in lines
    assert "Changes are told by 0.5 x brixia + 1.25 x ralo" in lines
    assert "Nested in 2 folds of patients: 20 patients, 120 images, 100 consecutive pairs" in lines
    right = test["agreement"]["extent"]["direction"]["in its course"]
    assert (
        f"  Direction right (aim: at least 90%) in clear steps of extent, 2 points or more, in its course: "
        f"{right['rate']:.1%} ({right['interval'][0]:.1%} to {right['interval'][1]:.1%}) of {right['pairs']} pairs of "
        f"{right['patients']} patients"
    ) in lines
    assert any(
        line.startswith("  Correlation with the readers' mean change (aim: 0.60), observed: 0.") for line in lines
    )
    assert any(line.startswith("  Called changed (aim: at most 5%), within 24 h, pair alone: ") for line in lines)


def test_one_scheme_is_not_compared_with_itself_and_what_was_not_counted_is_not_told() -> None:
    found = {
        "parameters": asdict(MEASURED),
        "compared": {"brixia": ROW},
        "folds": [1],
        "test": figures(judge([], MEASURED)),
    }
    lines = list(lines_of(found))
    assert lines[1] == "Changes are told by the shown total alone"
    assert not any("Direction right" in line or "Called changed" in line for line in lines)
