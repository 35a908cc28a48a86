"""`lungsev-train sweep`: trains a config again and again with other values of some keys, and keeps the best ones.

SWEEP/trial-<number>/   a run folder each, as the training command leaves it
SWEEP/sweep.db          Optuna's study; the same command continues it after a kill
SWEEP/trials.csv        what was tried
SWEEP/best.yaml         config of the best trial
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lungsev.errors import ConfigError, DatasetError, LungsevError
from lungsev.system import write_atomically
from lungsev.train.console import say, warn
from lungsev.train.data.loaders import world_size
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.progress import watch_epochs
from lungsev.train.runs import Run, open_run
from lungsev.train.sweep.settings import SweepRunSettings, SweepSettings, objective_of, spaces_of
from lungsev.train.sweep.study import counted_trials, open_study, resume_stopped, write_trials
from lungsev.train.tasks.cross_validation import run_grading
from lungsev.train.tasks.severity import SeverityRunSettings

Values = dict[str, Any]
EPOCH_VALUE = {"higher": "validation/accuracy", "lower": "validation/expected_mae"}  # what a pruner compares


def check_sweep(sweep: SweepSettings, settings_of: Callable[[Values], SeverityRunSettings]) -> SeverityRunSettings:
    """Try every choice and every end of a range; return the settings that are changed.

    Args:
        sweep: The section.
        settings_of: Makes the settings of a training with some keys changed.

    Raises:
        ConfigError: Names the key that is wrong.
    """
    objective_of(sweep)
    settings = settings_of({})
    for key, space in spaces_of(sweep.keys).items():
        for value in space.examples:
            try:
                settings_of({key: value})
            except ConfigError as error:
                raise ConfigError(f"sweep.keys.{key}: {value} is refused: {error}") from None
    if settings.data.split.validation == 0 and settings.data.split.file is None:
        raise ConfigError("data.split.validation is 0, but trials are compared by the validation part; set it to 0.15")
    if world_size() > 1:
        raise ConfigError("a sweep runs in one process; start it without torchrun")
    several = settings.ensemble > 1 or settings.seeds > 1 or settings.data.split.fold == "all"
    if sweep.pruner != "none" and several:
        raise ConfigError("sweep.pruner: trials of several networks cannot be pruned; set it to none")
    return settings


def run_sweep(
    settings: SweepRunSettings, run: Run, settings_of: Callable[[Values], SeverityRunSettings]
) -> dict[str, Any]:
    """Run the trials that are missing; leave trials.csv, best.yaml and metrics.json.

    Raises:
        MissingExtraError: Optuna is not installed.
        LungsevError: Every trial failed.
    """
    sweep, spaces = settings.sweep, spaces_of(settings.sweep.keys)
    with open_study(run.path, sweep, settings.severity.loop.epochs) as study:
        resume_stopped(study)
        while len(counted_trials(study)) < sweep.trials:
            trial = study.ask()
            folder = trial.user_attrs.get("folder", f"trial-{trial.number:03d}")
            trial.set_user_attr("folder", folder)
            values = {key: space.suggest(trial, key) for key, space in spaces.items()}
            shown = ", ".join(f"{key}={value}" for key, value in values.items())
            say(f"Trial {len(counted_trials(study)) + 1} of {sweep.trials}: {shown}")
            _run_trial(study, trial, Run(run.path / folder), sweep, partial(settings_of, values))
            write_trials(study, sweep, run.path / "trials.csv")
        metrics = _summary(study, sweep, run.path, settings_of)
    finish_run(run, metrics)
    return metrics


def _run_trial(
    study: Any, trial: Any, run: Run, sweep: SweepSettings, make_settings: Callable[[], SeverityRunSettings]
) -> None:
    """Train one choice of values, from where it was stopped; tell the study what came of it."""
    from optuna.exceptions import TrialPruned
    from optuna.trial import TrialState

    try:
        if not (run.path / "metrics.json").is_file():
            settings = make_settings()
            with _pruning(trial, sweep, run):
                run_grading(settings, open_run("", settings, out=run.path))
        value = validation_value(run, sweep)
    except TrialPruned:
        run.remove_checkpoints()
        study.tell(trial, state=TrialState.PRUNED)
    except DatasetError:
        raise  # every other trial would end as this one
    except LungsevError as error:
        warn(f"{run.path.name} failed: {error}")
        trial.set_user_attr("reason", str(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)
        say(f"{run.path.name}: {sweep.objective} {value:.4f} of the validation part; best {study.best_value:.4f}")


@contextmanager
def _pruning(trial: Any, sweep: SweepSettings, run: Run) -> Iterator[None]:
    """Tell the study the numbers of every epoch, and end the training where the pruner says so."""
    from optuna.exceptions import TrialPruned

    name = EPOCH_VALUE[objective_of(sweep).better]

    def report(record: dict[str, Any]) -> None:
        if record.get(name) is not None:
            trial.report(record[name], int(record["epoch"]))
            if trial.should_prune():
                raise TrialPruned

    if sweep.pruner == "none":
        yield
        return
    for record in run.history():
        report(record)
    with watch_epochs(report):
        yield


def validation_value(run: Run, sweep: SweepSettings) -> float:
    """Return the objective of a finished trial; the mean over its folds or seeds where it has some.

    Raises:
        LungsevError: There is no validation part, or the measure is not defined on it.
    """
    found = [
        measure(predictions, sweep.objective, part="validation", decision=sweep.decision, resamples=0).value
        for predictions in _validation_predictions(run)
    ]
    value = float(np.mean(found)) if found else math.nan
    if not math.isfinite(value):
        raise LungsevError(
            f"{sweep.objective} of the validation part is not defined; give it more images (data.split.validation)"
        )
    return value


def _validation_predictions(run: Run) -> list[Predictions]:
    own = run.path / "predictions-validation.json"
    if own.is_file():
        return [Predictions.load(own)]
    metrics = run.metrics()
    names = [*metrics.get("seeds", ()), *metrics.get("folds", ())]
    return [predictions for name in names for predictions in _validation_predictions(Run(run.path / name))]


def _summary(
    study: Any, sweep: SweepSettings, folder: Path, settings_of: Callable[[Values], SeverityRunSettings]
) -> dict[str, Any]:
    counted = counted_trials(study)
    if not any(trial.state.name == "COMPLETE" for trial in counted):
        reasons = [trial.user_attrs["reason"] for trial in counted if "reason" in trial.user_attrs]
        raise LungsevError(f"none of {len(counted)} trials was finished; the first failed because: {reasons[0]}")
    best = study.best_trial
    name = best.user_attrs["folder"]
    chosen = settings_of(dict(best.params)).model_dump(mode="json")
    heading = f"# Best of {len(counted)} trials, {name}: {sweep.objective} {best.value:.4f} of the validation part.\n"
    write_atomically(folder / "best.yaml", heading + yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True))
    say(f"Best: {name} with {sweep.objective} {best.value:.4f}; its config is {folder / 'best.yaml'}")
    return {
        "task": "sweep",
        "objective": sweep.objective,
        "part": "validation",
        "trials": len(counted),
        "best": {"trial": name, "value": best.value, "values": dict(best.params)},
    }
