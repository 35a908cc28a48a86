"""Loggers of a training: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from lungsev.errors import ConfigError, LungsevError, MissingExtraError
from lungsev.train.console import is_main_process, say, warn
from lungsev.train.runs import Run

PROJECT = "lungsev"
MEASURED_PARTS = ("train", "validation", "test", "consensus", "held_out")


def loggers_of(names: Sequence[str], run: Run) -> list[Logger]:
    """Return a logger for each name, which has the run's settings; a continued run continues its curves.

    Raises:
        MissingExtraError, ConfigError: Its package is not installed.
        LungsevError: Its service refuses.
    """
    makers = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
    made = []
    for name in names:
        try:
            logger = makers[name](run)
            if is_main_process():
                logger.log_hyperparams(_settings(run))
            made.append(logger)
        except ModuleNotFoundError:
            if name == "tensorboard":
                raise MissingExtraError("logging to TensorBoard", "train") from None
            raise ConfigError(f"loop.loggers asks for {name}, which is not installed: pip install {name}") from None
        except LungsevError:
            raise
        except Exception as error:  # each service has kinds of its own
            reason = " ".join(str(error).split())[:200]
            raise LungsevError(
                f"{name} cannot be reached or refuses ({reason}); put it right, or leave it out of loop.loggers"
            ) from None
    return made


def log_result(run: Run, metrics: dict[str, Any]) -> None:
    """Send a finished run's numbers to its loggers, as `final/<part>/...`; one that refuses costs the run nothing."""
    numbers = final_numbers(metrics)
    names = run.settings().get("loop", {}).get("loggers", ())
    if not numbers or not names:
        return
    try:
        made: list[Any] = loggers_of(names, run)
        for name, logger in zip(names, made, strict=True):
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(_settings(run), numbers)  # its table of runs wants both together
            else:
                logger.log_metrics(numbers)
            logger.finalize("success")
            if name == "wandb":
                logger.experiment.finish()  # or the next run of this process, as a fold, would continue its curves
    except LungsevError as error:
        warn(f"the results are in {run.path}, but not where they were to be logged: {error}")


def final_numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Return every number of the measured parts under `final/<part>/<path>`, as `final/test/argmax/accuracy`."""
    results = metrics.get("results", metrics)
    return {
        name: value
        for part in MEASURED_PARTS
        if isinstance(results.get(part), dict)
        for name, value in _numbers(results[part], f"final/{part}")
    }


def _numbers(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}/{key}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}/{key}", float(value)


def _settings(run: Run) -> dict[str, Any]:
    """Return the run's settings without what is not UTF-8, as paths may be: no logger takes it."""
    text = json.dumps(run.settings(), ensure_ascii=False)
    return dict(json.loads(text.encode(errors="replace")))


def _tensorboard(run: Run) -> Logger:
    if any("\ud800" <= character <= "\udfff" for character in str(run.path)):  # bytes that are not UTF-8
        raise LungsevError(f"TensorBoard cannot write to {run.path}, whose name is not UTF-8; choose another --out")
    return TensorBoardLogger(save_dir=run.path, name="", version="log", default_hp_metric=False)


def _wandb(run: Run) -> Logger:
    """Without an account it writes to the run folder alone, for `wandb sync`."""
    from lightning.pytorch.loggers import WandbLogger

    known = "WANDB_API_KEY" in os.environ or "api.wandb.ai" in _text(Path.home() / ".netrc")
    offline = os.environ.get("WANDB_MODE") == "offline" or not known
    if offline:
        say(f"wandb: no account is known, so it writes to {run.path / 'wandb'} only; `wandb sync` sends it later")
    name = f"{run.path.parent.name}-{run.path.name}"
    return WandbLogger(save_dir=run.path, name=name, id=name, resume="allow", project=PROJECT, offline=offline)


def _mlflow(run: Run) -> Logger:
    """To the server of MLFLOW_TRACKING_URI, else to a database file in the run folder."""
    from lightning.pytorch.loggers import MLFlowLogger

    os.environ.setdefault(
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"
    )  # its own 7 take minutes until it says that there is no answer
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(run.path / 'mlflow.db').resolve()}"
    noted = run.path / "mlflow-run.txt"
    logger = MLFlowLogger(
        experiment_name=PROJECT, run_name=run.path.name, tracking_uri=address, run_id=_text(noted).strip() or None
    )
    noted.write_text(str(logger.run_id), encoding="utf-8")
    return logger


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
