"""The `sweep:` section of a config: which keys vary between which values, and what is to become best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from lungsev.errors import ConfigError
from lungsev.train.evaluation.measures import MEASURES, Measure
from lungsev.train.settings import Positive, Settings
from lungsev.train.tasks.severity import SeverityRunSettings

FIXED = ("data.", "scheme", "loop.epochs")  # trials of other images, grades or length cannot be compared
Scalar = str | int | float | bool | None


class SweepSettings(Settings):
    """`sweep:` in a config of `lungsev-train sweep`."""

    keys: dict[str, Any] = Field(min_length=1)  # dotted key of the config -> list of choices, or low and high
    objective: str = "mae"  # a measure of the validation part; the test part is never looked at
    decision: Literal["argmax", "median", "expected"] | None = None  # None: the measure's own
    trials: Positive = 20  # finished, pruned and failed ones together
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["none", "median"] = "none"  # median: end trials that are worse than the median at the same epoch
    seed: int = 0  # of the sampler; trainings have loop.seed


class SweepSection(Settings):
    """The part of a config that is read here; the rest is that of the training."""

    sweep: SweepSettings


class SweepRunSettings(Settings):
    """What a sweep's run folder holds: the section, and the config that its keys change."""

    sweep: SweepSettings
    severity: SeverityRunSettings


@dataclass(frozen=True)
class Choices:
    """One of some values."""

    values: tuple[Scalar, ...]

    def suggest(self, trial: Any, key: str) -> Scalar:
        """Return the value of an Optuna trial."""
        chosen: Scalar = trial.suggest_categorical(key, list(self.values))
        return chosen

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """Return values that must all be allowed."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A number from low to high, both included; whole where both are."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: Any, key: str) -> float:
        """Return the value of an Optuna trial."""
        if self.is_whole:
            whole: int = trial.suggest_int(key, self.low, self.high, step=int(self.step or 1), log=self.log)
            return whole
        number: float = trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)
        return number

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """Return values that must all be allowed."""
        return self.low, self.high


def spaces_of(keys: Mapping[str, Any]) -> dict[str, Choices | Range]:
    """Return what each key may become.

    Raises:
        ConfigError: Names the key, and what was expected.
    """
    return {key: _space(f"sweep.keys.{key}", key, value) for key, value in keys.items()}


def _space(where: str, key: str, value: Any) -> Choices | Range:
    if key.startswith(FIXED):
        raise ConfigError(f"{where}: trials that differ in it cannot be compared; take it out of the sweep")
    if isinstance(value, list):
        if len(value) < 2 or not all(isinstance(item, Scalar) for item in value):
            raise ConfigError(f"{where}: found {value}, expected at least two choices, each a number, a word or null")
        return Choices(tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log", "step"}:
        raise ConfigError(f"{where}: found {value}, expected a list of choices, or low and high (and log or step)")
    try:
        low, high = (_number(value[end]) for end in ("low", "high"))
        step = None if value.get("step") is None else _number(value["step"])
    except ValueError:
        raise ConfigError(f"{where}: found {value}, expected numbers for low, high and step") from None
    log = value.get("log", False)
    if low >= high:
        raise ConfigError(f"{where}: low {low} is not below high {high}")
    if log and (low <= 0 or step is not None):
        raise ConfigError(f"{where}: a logarithmic range starts above 0 and has no step, found {value}")
    if step is not None and step <= 0:
        raise ConfigError(f"{where}: step {step} is not above 0")
    return Range(low, high, bool(log), step)


def _number(value: Any) -> float:
    """Return a number as YAML meant it, which reads 1e-4 as a word. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(value)
    return float(value) if isinstance(value, str) else value


def objective_of(sweep: SweepSettings) -> Measure:
    """Return the measure that trials are compared by.

    Raises:
        ConfigError: There is none of that name, or neither high nor low is better.
    """
    known = {name: entry for name, entry in MEASURES.items() if entry.better in ("higher", "lower")}
    if sweep.objective not in known:
        raise ConfigError(f"sweep.objective: found {sweep.objective}, expected one of {', '.join(known)}")
    entry = known[sweep.objective]
    if sweep.decision is not None and sweep.decision not in entry.decisions:
        raise ConfigError(
            f"sweep.decision: {sweep.objective} is not measured by {sweep.decision}, expected "
            f"{' or '.join(entry.decisions)}"
        )
    return entry
