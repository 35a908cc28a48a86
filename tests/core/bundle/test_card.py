from __future__ import annotations

from dataclasses import replace

from measured import MEASURED
from tiny_bundle import tiny_manifest

from lungsev.bundle.card import write_card
from lungsev.bundle.manifest import GraphSpec, PrecisionIsland, Provenance
from lungsev.grading import Calibration
from lungsev.inference.parity import Parity

PARITY = Parity("FP32", "FP16", 10, 0.001, 0.01, 0.002, 0.1, 0, 60, 0.01, "phantom 1")


def test_the_card_says_what_is_predicted_and_that_it_is_research() -> None:
    card = write_card(tiny_manifest())
    assert card.startswith("# tiny 1\n\n**Research use only.")
    assert "A right upper zone" in card
    assert "total interval not calibrated" in card
    assert "The run states no data sources" in card
    assert "The run states no metrics." in card


def test_metrics_are_listed_flat_and_long_lists_left_out() -> None:
    card = write_card(tiny_manifest(metrics={"a": {"b": 0.123456}, "few": [1, 2.5], "many": list(range(20))}))
    assert "| a.b | 0.1235 |" in card
    assert "| few | 1, 2.5 |" in card
    assert "many" not in card


def test_graphs_islands_and_comparisons_are_one_list() -> None:
    half = GraphSpec(
        opset=18, gflop=2.5, half_share=0.9, fp32_islands=(PrecisionIsland(part="warp", reason="it is small"),)
    )
    card = write_card(tiny_manifest(graphs={"fp32": GraphSpec(opset=18), "fp16": half}), [PARITY])
    graphs = card.split("## Graphs\n\n")[1].split("\n\n")[0].splitlines()
    assert graphs[0] == "- fp32: opset 18"
    assert graphs[1] == "- fp16: opset 18, 2.5 GFLOP per image, 90.0% of it in half precision"
    assert graphs[2] == "- fp16 keeps warp in FP32: it is small"
    assert "0 of 60 grades changed" in graphs[3]


def test_the_provenance_names_run_commit_and_split() -> None:
    source = Provenance(
        created_at="2026-01-01",
        run="brixia/1",
        commit="0123",
        data=("images",),
        split_sha256="f" * 64,
        versions={"onnx": "1"},
    )
    card = write_card(tiny_manifest(provenance=source))
    assert "- images\n- Split by patient, sha256 ffffffffffffffff…" in card
    assert "from run brixia/1 (commit 0123)" in card
    assert "onnx 1" in card


def test_the_card_names_the_evidence_of_a_change_and_what_the_readers_agree_on() -> None:
    rate = {"pairs": 40, "patients": 9, "rate": 0.925, "interval": [0.8, 0.96]}
    agreement = {"r": {"observed": {**rate, "rate": None}, "in its course": rate}, "reader_r": rate}
    test = {
        "images": 90, "patients": 20, "same_day_called": {}, "agreed_found": {},
        "agreement": {"ralo": {**agreement, "direction": {"in its course": rate}}},
    }  # fmt: skip
    measured = replace(MEASURED, evidence=(("brixia", 0.5), ("ralo", 1.25)))
    card = write_card(
        tiny_manifest(
            calibration={"brixia": Calibration(change=measured)},
            metrics={"change": {"brixia": {"data": "ralo", "test": test}}},
        )
    )
    assert "a sum of expected totals: 0.5 x brixia, 1.2 x ralo, and an offset" in card
    assert "change of ralo between two images: in its course 0.93 (0.80 to 0.96); one reader's change with" in card
    assert "| direction right in clear steps of ralo: in its course | 92.5% | 80.0% to 96.0% | 40 | 9 |" in card


def test_the_card_says_how_a_change_is_called_and_how_well() -> None:
    assert "repeatability not measured, so no change is called (`lungsev-train change`)" in write_card(tiny_manifest())
    rate = {"pairs": 40, "patients": 9, "rate": 0.025, "interval": [0.0, 0.06]}
    nothing = {"pairs": 0, "patients": 0, "rate": None, "interval": None}
    test = {
        "images": 90, "patients": 20,
        "same_day_called": {"within 24 h": rate, "one calendar day": nothing}, "agreed_found": {"every two": rate},
    }  # fmt: skip
    card = write_card(
        tiny_manifest(
            calibration={"brixia": Calibration(change=MEASURED)},
            metrics={"change": {"brixia": {"data": "ralo", "test": test}}, "task": "severity"},
        )
    )
    section = card.split("## Change between two images\n\n")[1].split("## Earlier stages")[0]
    assert "55% of the variance of an image's total is an error that the images of a patient share" in section
    assert "A change of at least 0.5 points is called from a probability of 0.65 on." in section
    assert "Measured on 90 images of 20 patients (ralo) that were not fitted on" in section
    assert "| called changed: within 24 h | 2.5% | 0.0% to 6.0% | 40 | 9 |" in section
    assert "| agreed change of 4 points found: every two |" in section
    assert "one calendar day" not in section
    assert "change.brixia" not in card
    assert "| task | severity |" in card
