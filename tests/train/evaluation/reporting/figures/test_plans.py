"""Captions say part, decision and number of images."""

from __future__ import annotations

from pathlib import Path

from report_runs import read_images, run, write_report_run

from lungsev.train.evaluation.reporting.figures.plans import all_plans
from lungsev.train.evaluation.reporting.figures.style import MAX_RUNS
from lungsev.train.evaluation.reporting.load import load_runs


def test_captions_name_part_decision_and_images(tmp_path: Path) -> None:
    parts = {"test": read_images(20, 0.4), "consensus": read_images(10, 0.5)}
    (one,) = load_runs([write_report_run(tmp_path / "run", parts, samples="consensus")])
    plans = {plan.name: plan for plan in all_plans([one])}
    source = "Consensus part: 10 images of 5 patients."
    for name in ("brixia-mae-by-region", "brixia-confusion"):
        assert "(argmax)" in plans[name].caption
        assert source in plans[name].caption
    assert source in plans["brixia-reliability"].caption
    assert "15 equal bins" in plans["brixia-reliability"].caption
    assert "Consensus part: 8 images of 5 patients." in plans["run1-totals"].caption
    assert one.samples is not None
    count = len(one.samples[1].sample_rows)
    assert plans["run1-samples"].caption.startswith(f"{count} of 10 images of the consensus part")
    assert plans["run1-samples"].radiographs


def test_more_runs_than_colours_go_onto_several_figures() -> None:
    parts = {"test": read_images(4, 0.5)}
    plans = all_plans([run(f"run {n}", parts) for n in range(MAX_RUNS + 1)])
    names = [plan.name for plan in plans if "confusion" in plan.name]
    assert names == ["brixia-1-confusion", "brixia-2-confusion"]
