"""What a report compares with what."""

from __future__ import annotations

import dataclasses

from graded_runs import predictions, run

from lungsev.train.evaluation.reporting import tables
from lungsev.train.evaluation.reporting.load import RunReport


def test_pairs_are_tested_on_every_part_and_many_runs_with_the_first_and_the_twin_only(runs: list[RunReport]) -> None:
    rows = tables.paired_table(runs).rows
    differences = [row[0] for row in rows if row[1] == "consensus (9)"]
    assert differences == [
        "BS-Net minus CXR-CLIP",
        "SN minus CXR-CLIP",
        "PAFE minus CXR-CLIP",
        "mask attention minus CXR-CLIP",
        "PAFE minus SN",
    ]
    assert len(rows) == 2 * len(differences)
    assert len(tables.paired_table(runs[:3]).rows) == 2 * 3


def test_a_start_from_scratch_is_what_portability_is_tested_against(runs: list[RunReport]) -> None:
    source = {"source": "runs/brixia/one"}
    tuned = [run(f"tuned {n}", {"test": predictions(12, n)}, source, backbone="resnet34") for n in range(2)]
    scratch = run("scratch", {"test": predictions(12, 9)}, backbone="resnet34")
    differences = [row[0] for row in tables.paired_table([runs[0], scratch, *tuned, runs[4]]).rows]
    assert {"tuned 0 minus scratch", "tuned 1 minus scratch"} <= set(differences)
    assert "tuned 1 minus tuned 0" not in differences


def test_only_the_rows_of_the_paper_stand_beside_its_numbers(runs: list[RunReport]) -> None:
    paper = {row[0]: row[-1] for row in tables.accuracy_table(runs).rows}
    assert paper["SN"].endswith("63.0 (0.39)")
    assert paper["PAFE"].endswith("65.7 (0.37)")
    assert paper["CXR-CLIP"].startswith("95.1")
    assert (paper["BS-Net"], paper["mask attention"]) == ("-", "-")


def test_small_groups_are_shown_together_and_images_without_a_word_in_none() -> None:
    words = ["COVID-19"] * 6 + ["SARS"] * 2 + ["ARDS"] * 3 + [""] * 9
    scored = dataclasses.replace(predictions(20, 0), findings=tuple(words))
    rows = tables.group_table([run("SN", {"test": scored})], "finding").rows
    assert [(row[1], row[2]) for row in rows] == [("COVID-19", "6"), ("others: ARDS; SARS", "5")]
    assert [row[1] for row in tables.group_table([run("SN", {"test": scored.select(range(8))})], "finding").rows] == [
        "COVID-19"
    ]
