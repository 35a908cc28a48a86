"""A `sweep:` section is read strictly: what is wrong is one line that names the key."""

from __future__ import annotations

from typing import Any

import pytest

from lungsev.errors import ConfigError
from lungsev.train.sweep.settings import Choices, Range, SweepSettings, objective_of, spaces_of


class Trial:
    """Answers as Optuna's trials do, with the upper end."""

    def suggest_categorical(self, key: str, values: list[Any]) -> Any:
        return values[-1]

    def suggest_int(self, key: str, low: int, high: int, step: int, log: bool) -> Any:
        return (low, high, step, log)

    def suggest_float(self, key: str, low: float, high: float, step: float | None, log: bool) -> Any:
        return (low, high, step, log)


def test_choices_and_ranges_are_told_apart_and_whole_numbers_stay_whole() -> None:
    spaces = spaces_of(
        {
            "network.head": ["linear", "mlp", None],
            "optimizer.lr": {"low": "1e-4", "high": 0.01, "log": True},  # YAML reads 1e-4 as a word
            "network.dim": {"low": 16, "high": 64, "step": 16},
            "network.dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
        }
    )
    suggested = {key: space.suggest(Trial(), key) for key, space in spaces.items()}
    assert suggested == {
        "network.head": None,
        "optimizer.lr": (1e-4, 0.01, None, True),
        "network.dim": (16, 64, 16, False),
        "network.dropout": (0.0, 0.3, 0.1, False),
    }
    assert spaces["network.head"] == Choices(("linear", "mlp", None))
    assert spaces["network.dim"] == Range(16, 64, False, 16)
    assert spaces["network.dim"].examples == (16, 64)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("optimizer.lr", 0.1, "expected a list of choices, or low and high"),
        ("optimizer.lr", {"low": 1, "max": 2}, "expected a list of choices, or low and high"),
        ("optimizer.lr", [0.1], "at least two choices"),
        ("network.out_indices", [[1], [2]], "each a number, a word or null"),
        ("optimizer.lr", {"low": "few", "high": 2}, "expected numbers"),
        ("optimizer.lr", {"low": True, "high": 2}, "expected numbers"),
        ("optimizer.lr", {"low": 2, "high": 2}, "low 2 is not below high 2"),
        ("optimizer.lr", {"low": 0, "high": 2, "log": True}, "starts above 0"),
        ("optimizer.lr", {"low": 1, "high": 2, "log": True, "step": 1}, "has no step"),
        ("optimizer.lr", {"low": 1, "high": 2, "step": 0}, "step 0 is not above 0"),
        ("data.split.seed", [1, 2], "cannot be compared"),
    ],
)
def test_a_wrong_key_is_named(key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"^sweep\.keys\.{key}: .*{words}"):
        spaces_of({key: value})


def test_the_objective_is_a_measure_of_which_more_or_less_is_better() -> None:
    assert objective_of(SweepSettings(keys={"a": [1, 2]})).better == "lower"
    assert objective_of(SweepSettings(keys={"a": [1, 2]}, objective="kappa", decision="median")).better == "higher"
    with pytest.raises(ConfigError, match=r"sweep\.objective: found total_bias, expected one of accuracy, mae"):
        objective_of(SweepSettings(keys={"a": [1, 2]}, objective="total_bias"))
    with pytest.raises(ConfigError, match=r"sweep\.decision: accuracy is not measured by expected"):
        objective_of(SweepSettings(keys={"a": [1, 2]}, objective="accuracy", decision="expected"))
