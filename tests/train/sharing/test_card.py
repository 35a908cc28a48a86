"""The card of a run states what the run knows, measured from its predictions, and says what it does not know."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from lungsev.errors import LungsevError
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.sharing.card import measured_table, run_card

HEADINGS = (
    "How to use",
    "What it predicts",
    "Limits",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Calibration",
    "Environment",
    "Licence",
    "Citation",
)


def section(card: str, heading: str) -> str:
    return card.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_card_has_every_section_and_no_path_of_the_machine(graded_run: Path) -> None:
    card = run_card(graded_run)
    assert tuple(re.findall(r"\n## (.+)", card)) == HEADINGS
    assert "# A row of a table\n\n**Research use only." in card
    assert "/secret" not in card


def test_every_number_is_that_of_the_predictions(graded_run: Path) -> None:
    test = Predictions.load(graded_run / "predictions-test.json")
    card = run_card(graded_run)
    accuracy = 100 * (test.grades() == test.reference).mean()
    row = re.search(r"### Test part\n\n.*?\| accuracy \(argmax\), % \| ([\d.]+) \[.*?\] \| 24 \| 12 \|", card, re.S)
    assert row is not None
    assert float(row[1]) == pytest.approx(accuracy, abs=0.05)
    head = yaml.safe_load(card.split("---\n")[1])
    results = head["model-index"][0]["results"]
    assert [one["dataset"]["split"] for one in results] == ["test"]  # no result of what was trained or chosen on
    assert results[0]["metrics"][0]["value"] == pytest.approx(accuracy)
    assert measured_table([measure(test, "ece", "test")]).splitlines()[-1] in section(card, "Calibration")
    assert "### Reader junior against senior, test part" in card


def test_parts_that_were_trained_or_chosen_on_say_so(graded_run: Path) -> None:
    card = run_card(graded_run)
    assert "### Train part: trained on" in card
    assert "### Validation part: epoch and calibration were chosen on it" in card
    calibration = section(card, "Calibration")
    assert "Temperature: 1.250" in calibration
    assert "widened by 0.50 points" in calibration
    assert "Fitted on: the validation part" in calibration


def test_data_split_and_settings_are_those_of_the_run(graded_run: Path) -> None:
    card = run_card(graded_run)
    data = section(card, "Training data")
    assert "layout `cohen`, which is that of: Brixia scores by two radiologists" in data
    assert "protocol leak_free, no patient is on two sides, sha256 ffffffffffffffff…" in data
    assert "run `align`, which is not beside this one" in data
    assert "- train part: 30 images of 15 patients; readers: senior, junior" in data
    procedure = section(card, "Training procedure")
    assert "Epochs trained: 2; `loop.keep`, which chose the epoch of the weights: best." in procedure
    assert "| `loop.seed` | 3 |" in procedure
    assert "loss.kappa" not in procedure  # a loss of weight 0 was not used
    assert "| commit | 0123456789ab |" in section(card, "Environment")


def test_what_a_run_does_not_know_is_said(graded_run: Path) -> None:
    (graded_run / "metrics.json").write_text("{}")
    (graded_run / "config.yaml").write_text("command: brixia\n")
    (graded_run / "history.jsonl").unlink()
    card = run_card(graded_run)
    assert section(card, "Training data").count("The run does not say.") == 3
    assert "Settings: The run does not say." in section(card, "Training procedure")
    assert "Temperature: The run does not say." in section(card, "Calibration")
    assert "not calibrated" in section(card, "Calibration")
    assert section(card, "Environment").strip() == "The run does not say."
    assert "datasets" not in yaml.safe_load(card.split("---\n")[1])


def test_a_part_too_small_to_say_much_is_among_the_limits(graded_run: Path) -> None:
    test = Predictions.load(graded_run / "predictions-test.json")
    test.select(range(8)).save(graded_run / "predictions-test.json")
    assert "accuracy (argmax), %, MAE (argmax), grades" in section(run_card(graded_run), "Limits")
    assert "4 patients: too few to say anything." in section(run_card(graded_run), "Limits")


def test_the_earlier_stage_s_data_are_named_where_it_can_be_read(graded_run: Path) -> None:
    earlier = graded_run.parent / "align"
    earlier.mkdir()
    (earlier / "network.pt").write_bytes(b"")
    (earlier / "metrics.json").write_text(json.dumps({"data": ["lung_pairs"]}))
    document = yaml.safe_load((graded_run / "config.yaml").read_text())
    document["settings"]["alignment"] = str(earlier)
    (graded_run / "config.yaml").write_text(yaml.safe_dump(document))
    assert "Lungs and alignment: run `align`, trained on lung_pairs." in run_card(graded_run)


def test_the_licence_is_the_given_one_or_said_to_be_lungsev_s_own(graded_run: Path) -> None:
    assert "what lungsev states where nobody chose" in section(run_card(graded_run), "Licence")
    card = run_card(graded_run, "CC BY 4.0")
    assert section(card, "Licence").strip() == "CC BY 4.0"
    assert "license: cc-by-4.0\n" in card


def test_an_evaluation_has_no_card(graded_run: Path) -> None:
    (graded_run / "config.yaml").unlink()
    with pytest.raises(LungsevError, match=r"has no config\.yaml, expected a run folder"):
        run_card(graded_run)


def test_the_papers_are_those_of_the_citation_file(graded_run: Path) -> None:
    citation = yaml.safe_load((Path(__file__).resolve().parents[3] / "CITATION.cff").read_text(encoding="utf-8"))
    for paper in (citation["preferred-citation"], *citation["references"]):
        assert paper["doi"] in section(run_card(graded_run), "Citation")
