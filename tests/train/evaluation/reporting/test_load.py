"""A report reads run folders, names each run, and finds its twin."""

from __future__ import annotations

from pathlib import Path

import pytest
from graded_runs import predictions

from lungsev.errors import LungsevError
from lungsev.train.evaluation.reporting.load import RunReport, baseline_of, load_runs
from lungsev.train.runs import write_json


def test_the_twin_of_an_encoder_is_spatial_normalisation_alone_and_nothing_else(runs: list[RunReport]) -> None:
    assert [getattr(baseline_of(one, runs), "label", None) for one in runs] == [None, None, None, "SN", None]


def test_runs_of_one_name_are_numbered_and_an_unfinished_one_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(
            "settings: {network: {backbone: resnet34, position_aware: true}, "
            "initial: {source: a/run, freeze: all_but_heads}}\n"
        )
        write_json(tmp_path / name / "metrics.json", {"task": "severity"})
        predictions(4, 0).save(tmp_path / name / "predictions-test.json")
    (tmp_path / "unfinished").mkdir()
    loaded = load_runs([tmp_path / "one", tmp_path / "unfinished", tmp_path / "two"])
    assert [found.label for found in loaded] == [
        "ResNet34 + SN + PAFE, linear probe",
        "ResNet34 + SN + PAFE, linear probe (2)",
    ]
    assert (loaded[0].measured, len(loaded[0].predictions.names)) == ("test", 4)
    assert "unfinished holds no predictions" in capsys.readouterr().out
    with pytest.raises(LungsevError, match="does not exist"):
        load_runs([tmp_path / "nowhere"])


def test_folds_lend_their_mean_curve_to_the_run_over_all_of_them(tmp_path: Path) -> None:
    for fold, losses in enumerate(([1.0, 0.5, 0.1], [3.0, 1.5])):
        folder = tmp_path / f"fold-{fold}"
        folder.mkdir()
        lines = (f'{{"epoch": {epoch}, "train/loss": {loss}}}\n' for epoch, loss in enumerate(losses))
        (folder / "history.jsonl").write_text("".join(lines))
    write_json(tmp_path / "metrics.json", {"task": "severity", "folds": ["fold-0", "fold-1"]})
    predictions(4, 0).save(tmp_path / "predictions-test.json")
    (loaded,) = load_runs([tmp_path])
    assert loaded.history == [{"epoch": 0, "train/loss": 2.0}, {"epoch": 1, "train/loss": 1.0}]
