"""Only the rows of the paper stand beside its numbers."""

from __future__ import annotations

from dataclasses import replace

from graded_runs import predictions
from report_runs import read_images, run

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.reporting.published import table_1, table_2
from lungsev.train.evaluation.reporting.run_report import RunReport


def test_table_1_names_encoders_and_ensembles_and_no_run_of_our_own(runs: list[RunReport]) -> None:
    paper = {one.label: table_1(one) for one in runs}
    assert paper["SN"].endswith("63.0 (0.39)")
    assert paper["PAFE"].endswith("65.7 (0.37)")
    assert paper["CXR-CLIP"].startswith("95.1")
    assert (paper["BS-Net"], paper["mask attention"]) == ("-", "-")
    named = replace(runs[3], settings={**runs[3].settings, "title": "ResNet18 + SN + PAFE (published code)"})
    assert table_1(named) == paper["PAFE"]
    assert {table_1(replace(one, metrics={"data": ["cohen"]})) for one in runs} == {"-"}


def test_table_2_is_of_inha_with_the_encoder() -> None:
    probe = {"source": "a", "freeze": "all_but_heads"}
    inha = {"test": read_images(6, 0.5, scheme=load_scheme("inha"))}
    assert table_2(run("a", inha, probe, position_aware=True)) == "51.4"
    assert table_2(run("a", inha, probe, position_aware=False)) == "-"
    assert table_2(run("a", {"test": predictions(6, 0)}, probe, position_aware=True)) == "-"
