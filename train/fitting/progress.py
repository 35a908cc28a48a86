"""Progress of a training: numbers of each epoch, and Lightning without its advice."""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from lungsev.errors import LungsevError
from lungsev.train.console import is_main_process, say
from lungsev.train.runs import Run

FORECAST_STEPS = 5
FORECAST_WORTH_S = 60

_watchers: list[Callable[[dict[str, Any]], None]] = []


@contextmanager
def watch_epochs(watcher: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Call `watcher` with the record of every epoch of the trainings inside; what it raises ends the training."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


class EpochLines(Callback):
    """One JSON line per epoch for the report; one plain line on screens that show no bar."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.started = 0.0
        self.images = 0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock."""
        self.started, self.images = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Count the images."""
        self.images += len(batch["index"]) * trainer.world_size

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write and print the numbers of the epoch. Raises LungsevError when the loss is not finite."""
        if not is_main_process():
            return
        seconds = time.perf_counter() - self.started
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        record = {
            "epoch": trainer.current_epoch,
            "seconds": round(seconds, 3),
            "images_per_second": round(self.images / seconds, 2),
            "learning_rate": rate,
            **{name: (value if math.isfinite(value) else None) for name, value in sorted(numbers.items())},
        }
        self._append(json.dumps(record) + "\n")
        for watcher in list(_watchers):
            watcher(record)
        if not math.isfinite(numbers.get("train/loss", 0.0)):
            raise LungsevError(
                f"the loss of epoch {trainer.current_epoch + 1} is not a finite number; learn slower (a tenth of "
                "optimizer.lr) or with loop.precision=32, as a new run"
            )
        words = "  ".join(f"{name} {value:.4f}" for name, value in sorted(numbers.items()))
        say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {words}  ({record['images_per_second']} images/s)"
        )

    def _append(self, line: str) -> None:
        path = self.run.path / "history.jsonl"
        cut_short = path.is_file() and not path.read_bytes().endswith(b"\n")  # by a kill
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * cut_short + line)


class Forecast(Callback):
    """Says how long a training will take once its first steps were measured; nothing of a short one."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Note the time; after the first steps, of which the very first is slower, say what follows from it."""
        if len(self.times) > FORECAST_STEPS:
            return
        self.times.append(time.perf_counter())
        if len(self.times) > FORECAST_STEPS:
            step = (self.times[-1] - self.times[0]) / FORECAST_STEPS
            epoch = step * trainer.num_training_batches
            left = epoch * ((trainer.max_epochs or 1) - trainer.current_epoch)
            if left >= FORECAST_WORTH_S:
                say(f"A step takes {step:.2f} s, an epoch about {in_words(epoch)}, what is left {in_words(left)}")


def in_words(seconds: float) -> str:
    """Return a duration as `50 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class LearningRates(Callback):
    """The learning rate of every parameter group in the loggers' curves, as often as the loss."""

    def on_train_batch_start(self, trainer: Any, module: L.LightningModule, batch: Any, batch_index: int) -> None:
        """Log the rates that this step takes."""
        if trainer.global_step % trainer.log_every_n_steps:
            return
        groups = trainer.optimizers[0].param_groups
        rates = {f"learning_rate/group_{index}": group["lr"] for index, group in enumerate(groups)}
        for logger in trainer.loggers:
            logger.log_metrics(rates, step=trainer.global_step)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice, which is for people who write training loops."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning(\..*)?")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
        warnings.filterwarnings("ignore", message=".*Grad strides do not match bucket view strides.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
