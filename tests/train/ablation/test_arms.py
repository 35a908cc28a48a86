"""A table's run folders become arms; what makes the comparison unfair is found before it is made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from arm_predictions import predictions

from lungsev.errors import ConfigError, LungsevError
from lungsev.networks.settings import FusedSettings
from lungsev.train.ablation.arms import decide_table, seen_by_start
from lungsev.train.configs import merged
from lungsev.train.data.splits import Split
from lungsev.train.tasks.table_settings import TableSettings

RATES = {"slow": 5e-4, "fast": 1.5e-3}
ARMS = {
    "SN": {"position_aware": False, "dim": 0},
    "PAFE": {"position_aware": True, "dim": 256},
    "CTX": {"position_aware": False, "dim": 0, "context": True},
}
WRONG = {"SN": 0.4, "PAFE": 0.2, "CTX": 0.2}
ROWS = [
    {"name": f"{dataset}-{arm}-{rate}", "arm": arm, "config": "public/sn", "dataset": dataset}
    for dataset in ("cohen", "ralo")
    for arm in ARMS
    for rate in RATES
]
Writer = Callable[..., Path]


def table_of(**more: Any) -> TableSettings:
    rule = {"arm": "PAFE", "against": ["SN", "CTX"]}
    return TableSettings.model_validate({"title": "A table", "rows": ROWS, "seeds": 2, "decision": rule, **more})


def settings_of(arm: str, rate: str) -> dict[str, Any]:
    return {
        "network": {"crop_px": 128, "pretrained": "none", "schemes": ["brixia"], **ARMS[arm]},
        "initial": {"encoder_weights": None},
        "optimizer": {"lr": RATES[rate], "warmup_epochs": 1},
        "loop": {"epochs": 10, "precision": "32", "accelerator": "cpu", "seed": 0, "threads": 1},
    }


@pytest.fixture
def write_rows(tmp_path: Path) -> Writer:
    """Write run folders of a dataset's rows; `changed` goes over the settings of one row."""
    saved: dict[tuple[float, int, int], Path] = {}

    def copy(wrong: float, patients: int, seed: int, target: Path) -> None:
        made = saved.setdefault((wrong, patients, seed), target)
        if made is target:
            predictions(wrong, patients, seed).save(target)
        else:
            shutil.copy(made, target)

    def write(dataset: str, changed: dict[str, dict[str, Any]] | None = None, folds: int = 2) -> Path:
        for arm in ARMS:
            for rate in RATES:
                name = f"{dataset}-{arm}-{rate}"
                for seed in range(2):
                    run = tmp_path / name / f"seed-{seed}"
                    run.mkdir(parents=True)
                    settings = merged(settings_of(arm, rate), (changed or {}).get(name, {}))
                    document = {"settings": settings, "made_by": {"device": "a card"}}
                    (run / "config.yaml").write_text(yaml.safe_dump(document))
                    names = [f"fold-{fold}" for fold in range(folds)]
                    (run / "metrics.json").write_text(json.dumps({"folds": names} if folds else {}))
                    copy(WRONG[arm], 20, seed, run / "predictions-test.json")
                    for folder in [run / each for each in names] or [run]:
                        folder.mkdir(exist_ok=True)
                        # The fast rate is better where it is chosen.
                        held = 0.1 if rate == "fast" else 0.5
                        copy(held, 5, seed, folder / "predictions-validation.json")
        return tmp_path

    return write


def no_cost(one: FusedSettings, other: FusedSettings) -> float:
    assert one.severity.position_aware
    assert not other.severity.position_aware
    return 0.04


def test_every_dataset_that_is_finished_is_decided_on(write_rows: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = decide_table(table_of(), write_rows("cohen"), cost=no_cost)
    said = capsys.readouterr().out
    assert "not decided, ralo: ralo-SN-slow is not finished" in said
    assert found.dataset == "cohen"
    assert [each.outcome for each in found.decision.comparisons] == ["better", "equivalent"]
    assert {choice.rate for choice in found.decision.choices} == {RATES["fast"]}
    assert found.decision.cost == {"SN": 0.04, "CTX": 0.04}
    lines = found.lines()
    assert lines[0] == "cohen: PAFE is better than SN: it ships."
    assert "crop px 128, epochs 10, precision 32, start none, device a card" in lines[-1]
    assert "time of the network +4.0 % against SN, +4.0 % against CTX" in lines[-1]
    document = json.loads(json.dumps(found.to_dict()))
    assert (document["dataset"], document["crop_px"], document["device"]) == ("cohen", 128, "a card")
    assert document["comparisons"][0]["difference"]["seeds"] == 2


def test_a_dataset_without_folds_is_read_from_its_only_part_and_seeds_can_be_fewer(write_rows: Writer) -> None:
    out = write_rows("ralo", folds=0)
    (found,) = decide_table(table_of(), out, cost=no_cost)
    assert found.dataset == "ralo"
    (one,) = decide_table(table_of(), out, seeds=1, cost=no_cost)
    assert one.decision.comparisons[0].difference.seeds == 1
    (out / "ralo-SN-slow" / "seed-1" / "predictions-test.json").unlink()
    with pytest.raises(
        LungsevError, match=r"nothing to decide on in .*ralo-SN-slow is not finished, .*seed-1 holds no"
    ):
        decide_table(table_of(), out, cost=no_cost)


def test_rows_of_one_dataset_and_two_schemes_are_two_questions(write_rows: Writer) -> None:
    rows = [{**row, "set": {"scheme": "ralo_opacity"}} if row["dataset"] == "ralo" else row for row in ROWS]
    write_rows("cohen")
    decided = decide_table(table_of(rows=rows), write_rows("ralo"), cost=no_cost)
    assert [each.dataset for each in decided] == ["cohen", "ralo (ralo_opacity)"]


def test_arms_that_differ_in_more_than_what_makes_them_are_refused(write_rows: Writer) -> None:
    out = write_rows("cohen", {"cohen-PAFE-fast": {"loop": {"epochs": 40}}})
    with pytest.raises(
        ConfigError, match=r"cohen-SN-slow and cohen-PAFE-fast differ in loop.epochs \(found 10 and 40\)"
    ):
        decide_table(table_of(), out, cost=no_cost)


def test_how_images_are_loaded_is_no_difference(write_rows: Writer) -> None:
    out = write_rows("cohen", {"cohen-PAFE-fast": {"loop": {"threads": 7}, "data": {"workers": 3, "cache": "x"}}})
    assert decide_table(table_of(), out, cost=no_cost)


def test_a_table_without_a_rule_decides_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A table has no rule to decide by; expected `decision:`"):
        decide_table(table_of(decision=None), tmp_path)


def test_test_images_that_trained_the_start_are_counted_and_said(write_rows: Writer, tmp_path: Path) -> None:
    names = predictions(0.2, 20).names
    start = tmp_path / "trunk"
    for key, parts in {
        "cohen": {"train": names[:7], "test": names[7:]},
        "other": {"train": names[:9]},  # not all of them: another dataset with names alike
        "measured": {"train": names},  # not in metrics.json, so it trained nothing
    }.items():
        folder = start / "sources" / key
        folder.mkdir(parents=True)
        Split("holdout", 0, {part: tuple(who) for part, who in parts.items()}, {}, 0).save(folder / "splits.json")
    (start / "metrics.json").write_text(json.dumps({"split": {"sources": {"cohen": "", "other": ""}}}))
    assert seen_by_start(start, names) == 7
    assert seen_by_start(start, (*names, "one more")) == 0
    assert seen_by_start(tmp_path / "weights.pt", names) == 0
    initial = {"initial": {"encoder_weights": str(start)}}
    out = write_rows("cohen", {f"cohen-{arm}-{rate}": initial for arm in ARMS for rate in RATES})
    (found,) = decide_table(table_of(), out, cost=no_cost)
    assert found.cautions == ("the start was trained on 7 of the 40 test images",)
    assert found.lines()[-1] == "  note: the start was trained on 7 of the 40 test images"
    assert found.facts["start"] == "trunk"
