"""The Optuna study of a sweep, in `sweep.db` of its folder: what was tried is known after a kill."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.system import write_atomically
from lungsev.train.sweep.settings import SweepSettings, objective_of

DATABASE = "sweep.db"


@contextmanager
def open_study(folder: Path, sweep: SweepSettings, epochs: int) -> Iterator[Any]:
    """Open the study of a sweep's folder, or begin it.

    Raises:
        MissingExtraError: Optuna is not installed.
        LungsevError: The database is damaged.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtraError("a sweep", "sweep") from None
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("optuna").setLevel(logging.WARNING)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / DATABASE).resolve()}")
        study = optuna.create_study(
            storage=storage,
            study_name="sweep",
            direction="maximize" if objective_of(sweep).better == "higher" else "minimize",
            load_if_exists=True,
        )
    except SQLAlchemyError as error:
        reason = " ".join(str(error).split())[:200]
        raise LungsevError(f"{folder / DATABASE} cannot be read ({reason}); give another --out") from None
    # A seeded sampler starts over with every process: without the trials so far it would draw the same values again.
    seed = sweep.seed + len(study.get_trials(deepcopy=False))
    samplers: dict[str, Any] = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study.sampler = samplers[sweep.sampler](seed=seed)
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=epochs // 4)
    study.pruner = pruner if sweep.pruner == "median" else optuna.pruners.NopPruner()
    try:
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def resume_stopped(study: Any) -> None:
    """Queue the trials that a kill stopped again, with the same values and in the same folders."""
    from optuna.trial import TrialState

    for stopped in study.get_trials(states=(TrialState.RUNNING,)):
        study.enqueue_trial(stopped.params, user_attrs=stopped.user_attrs)
        study.tell(stopped.number, state=TrialState.FAIL)


def counted_trials(study: Any) -> list[Any]:
    """Return the trials that ended by themselves: finished, pruned, or failed for a reason."""
    return [trial for trial in study.get_trials(deepcopy=False) if state_of(trial) not in ("stopped", "waiting")]


def state_of(trial: Any) -> str:
    """Return `finished`, `pruned`, `failed`, `stopped` (by a kill, and started again as another) or `waiting`."""
    name = trial.state.name
    if name == "FAIL":
        return "failed" if "reason" in trial.user_attrs else "stopped"
    return {"COMPLETE": "finished", "PRUNED": "pruned"}.get(name, "waiting")


def write_trials(study: Any, sweep: SweepSettings, path: Path) -> None:
    """Write one line for each trial that ended by itself: state, objective, duration, values, reason."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["trial", "state", sweep.objective, "seconds", *sweep.keys, "reason"])
    for trial in counted_trials(study):
        seconds = "" if trial.duration is None else round(trial.duration.total_seconds(), 1)
        value = trial.value if state_of(trial) == "finished" else ""
        values = [trial.params.get(key, "") for key in sweep.keys]
        reason = trial.user_attrs.get("reason", "")
        writer.writerow([trial.user_attrs.get("folder", ""), state_of(trial), value, seconds, *values, reason])
    write_atomically(path, table.getvalue())
