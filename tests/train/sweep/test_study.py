"""What a sweep has tried is on the disk: it is continued after a kill, and told in a table."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.train.sweep.settings import SweepSettings
from lungsev.train.sweep.study import counted_trials, open_study, resume_stopped, write_trials

optuna: Any = pytest.importorskip("optuna")
SWEEP = SweepSettings(keys={"x": [1, 2]}, sampler="random", seed=5)


def test_a_trial_that_a_kill_stopped_is_queued_again_with_its_values_and_its_folder(tmp_path: Path) -> None:
    with open_study(tmp_path, SWEEP, 4) as study:
        stopped = study.ask()
        stopped.set_user_attr("folder", "trial-000")
        value = stopped.suggest_float("x", 0, 1)
    with open_study(tmp_path, SWEEP, 4) as study:
        resume_stopped(study)
        assert counted_trials(study) == []
        again = study.ask()
        assert again.user_attrs["folder"] == "trial-000"
        assert again.suggest_float("x", 0, 1) == value
        study.tell(again, 0.5)
        assert [trial.value for trial in counted_trials(study)] == [0.5]


def test_a_continued_sweep_draws_other_values_than_it_began_with(tmp_path: Path) -> None:
    drawn = []
    for _ in range(2):
        with open_study(tmp_path, SWEEP, 4) as study:
            trial = study.ask()
            drawn.append(trial.suggest_float("x", 0, 1))
            study.tell(trial, 0.0)
    assert drawn[0] != drawn[1]


def test_the_table_has_a_line_for_every_trial_that_ended_by_itself(tmp_path: Path) -> None:
    with open_study(tmp_path, SWEEP, 4) as study:
        for number, end in enumerate(("finished", "pruned", "failed", "waiting")):
            trial = study.ask()
            trial.set_user_attr("folder", f"trial-{number}")
            trial.suggest_categorical("x", [1, 2])
            if end == "finished":
                study.tell(trial, 0.25)
            elif end == "pruned":
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            elif end == "failed":
                trial.set_user_attr("reason", "memory, full")
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        write_trials(study, SWEEP, tmp_path / "trials.csv")
    header, *lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert header == "trial,state,mae,seconds,x,reason"
    assert [line.split(",")[:3] for line in lines] == [
        ["trial-0", "finished", "0.25"],
        ["trial-1", "pruned", ""],
        ["trial-2", "failed", ""],
    ]
    assert lines[2].endswith('"memory, full"')


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "optuna":
            raise ModuleNotFoundError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(MissingExtraError, match=r'a sweep needs the "sweep" extra: pip install "lungsev\[sweep\]"'),
        open_study(tmp_path, SWEEP, 4),
    ):
        pass


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sweep.db").write_bytes(b"no database" * 200)
    with (
        pytest.raises(LungsevError, match=r"sweep\.db cannot be read \(.*\); give another --out"),
        open_study(tmp_path, SWEEP, 4),
    ):
        pass
