"""The decision of an ablation: which rate each arm is shown at, and what its paired difference to the others means.

Pure functions of predictions. Rates are chosen on validation parts; the test parts are compared once, at the rates
that were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from lungsev.errors import ConfigError
from lungsev.train.evaluation.measurement import FEW_PATIENTS, MeasuredDifference, Measurement, difference, measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.settings import Settings

MEASURE, GRADES = "mae", "median"  # what decides: the mean absolute error of the distributions' medians
Outcome = Literal["better", "worse", "equivalent", "not settled"]


class DecisionSettings(Settings):
    """The rule, and to whom it is applied."""

    arm: str  # whose place in the network is decided on
    against: Annotated[tuple[str, ...], Field(min_length=1)]  # the arms it is compared with; the first one decides
    margin: Annotated[float, Field(gt=0)] = 0.02  # grades; an interval within it on both sides of zero: equivalent
    cost: Annotated[float, Field(ge=0)] = 0.1  # share of the network's time that an equivalent arm may add


@dataclass(frozen=True)
class Trained:
    """An arm that was trained at one rate.

    Attributes:
        row: Name of its row in the table.
        rate: Learning rate.
        validation: Predictions of the validation parts, one per seed.
        test: Predictions of the test parts, one per seed.
    """

    row: str
    rate: float
    validation: tuple[Predictions, ...]
    test: tuple[Predictions, ...]


@dataclass(frozen=True)
class Choice:
    """The rate that an arm is shown at.

    Attributes:
        validation: MAE on the validation parts at each rate.
        test: MAE on the test parts at the chosen one.
    """

    arm: str
    row: str
    rate: float
    validation: Mapping[float, float]
    test: Measurement


@dataclass(frozen=True)
class Comparison:
    """The arm minus another one.

    Attributes:
        ships: What follows for the arm; None where nothing does.
        sentence: Both in one sentence.
    """

    against: str
    difference: MeasuredDifference
    outcome: Outcome
    ships: bool | None
    sentence: str


@dataclass(frozen=True)
class Decision:
    """Every arm's rate, and the comparisons; the first of them decides.

    Attributes:
        cost: Share of the other's time that the arm adds, by name of the other; what was not measured is missing.
    """

    rule: DecisionSettings
    choices: tuple[Choice, ...]
    comparisons: tuple[Comparison, ...]
    cost: Mapping[str, float]

    def lines(self) -> list[str]:
        """Return the decision as text, the sentence that decides first."""
        first = self.comparisons[0]
        shown = [f"{first.sentence[0].upper()}{first.sentence[1:]}."]
        for each in self.comparisons:
            found = each.difference
            shown.append(
                f"{self.rule.arm} minus {each.against}: {found.text()} {found.label()}, {_count(found.seeds, 'seed')}, "
                f"{_count(found.images, 'image')} of {_count(found.patients, 'patient')}: {each.outcome}"
                + (f" ({found.caution})" if found.caution else "")
            )
        for choice in self.choices:
            rates = ", ".join(f"{mae:.3f} at {rate:g}" for rate, mae in sorted(choice.validation.items()))
            shown.append(
                f"{choice.arm}: {choice.test.text()} {choice.test.label()} at rate {choice.rate:g}; validation {rates}"
            )
        return shown

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "rule": self.rule.model_dump(mode="json"),
            "outcome": self.comparisons[0].outcome,
            "ships": self.comparisons[0].ships,
            "sentence": self.comparisons[0].sentence,
            "comparisons": [{**asdict(each), "difference": each.difference.to_dict()} for each in self.comparisons],
            "arms": [
                {
                    "arm": each.arm,
                    "row": each.row,
                    "rate": each.rate,
                    "validation_mae": {f"{rate:g}": mae for rate, mae in sorted(each.validation.items())},
                    "test": each.test.to_dict(),
                }
                for each in self.choices
            ],
            "added_time": dict(self.cost),
        }


def decide(
    arms: Mapping[str, Sequence[Trained]], rule: DecisionSettings, cost: Mapping[str, float] | None = None
) -> Decision:
    """Choose every arm's rate on validation, then compare the arm of the rule with the others on the test parts.

    Args:
        arms: Name to the same arm at each rate.
        rule: Fixed before the run.
        cost: Share of the other's time that the arm adds, by name of the other.

    Raises:
        ConfigError: An arm of the rule is missing, or arms were trained at other rates or with other seeds.
    """
    missing = [name for name in (rule.arm, *rule.against) if not arms.get(name)]
    if missing:
        raise ConfigError(
            f"found no row of arm {', '.join(missing)}; expected {rule.arm} and {', '.join(rule.against)}"
        )
    _require_equal_chances(arms)
    chosen = {name: choose(candidates) for name, candidates in arms.items()}
    known = dict(cost or {})
    comparisons = []
    for other in rule.against:
        found = difference(chosen[other].test, chosen[rule.arm].test, MEASURE, decision=GRADES)
        outcome = outcome_of(found, rule)
        ships, sentence = _consequence(outcome, other, rule, known.get(other))
        comparisons.append(Comparison(other, found, outcome, ships, sentence))
    choices = tuple(_choice(name, chosen[name], arms[name]) for name in (rule.arm, *rule.against))
    return Decision(rule, choices, tuple(comparisons), known)


def choose(candidates: Sequence[Trained]) -> Trained:
    """Return the candidate with the lowest MAE on validation, the mean of its seeds; of equal ones the slowest."""
    return min(sorted(candidates, key=lambda each: each.rate), key=validation_mae)


def validation_mae(candidate: Trained) -> float:
    """Return the mean over seeds of the MAE on the validation parts."""
    return measure(candidate.validation, MEASURE, "validation", GRADES, resamples=0).value


def outcome_of(found: MeasuredDifference, rule: DecisionSettings) -> Outcome:
    """Return what the interval of the arm minus another says. Too few patients settle nothing."""
    if found.interval is None or found.patients < FEW_PATIENTS:
        return "not settled"
    low, high = found.interval
    if high < 0:
        return "better"
    if low > 0:
        return "worse"
    return "equivalent" if -rule.margin < low and high < rule.margin else "not settled"


def _consequence(outcome: Outcome, other: str, rule: DecisionSettings, cost: float | None) -> tuple[bool | None, str]:
    arm, allowed = rule.arm, f"{100 * rule.cost:g} % of the network's time"
    if outcome == "better":
        return True, f"{arm} is better than {other}: it ships"
    if outcome == "worse":
        return False, f"{arm} is worse than {other}: it stays out"
    if outcome == "not settled":
        return None, f"{arm} against {other} is not settled by these images"
    same = f"{arm} and {other} are equivalent"
    if cost is None:
        return None, f"{same}: {arm} ships unless it costs more than {allowed}, which was not measured"
    measured = f"it costs {100 * cost:.1f} % of the network's time"
    if cost > rule.cost:
        return False, f"{same}, and {arm} stays out: {measured}, more than {100 * rule.cost:g} %"
    return True, f"{same}: {arm}, the paper's method, ships; {measured}, not more than {100 * rule.cost:g} %"


def _choice(name: str, chosen: Trained, candidates: Sequence[Trained]) -> Choice:
    validation = {each.rate: validation_mae(each) for each in candidates}
    return Choice(name, chosen.row, chosen.rate, validation, measure(chosen.test, MEASURE, "test", GRADES))


def _require_equal_chances(arms: Mapping[str, Sequence[Trained]]) -> None:
    rates = {name: sorted(each.rate for each in candidates) for name, candidates in arms.items()}
    seeds = {name: sorted({len(each.test) for each in candidates}) for name, candidates in arms.items()}
    several = any(len(counts) > 1 for counts in seeds.values())
    for what, found, differs in (("rates", rates, False), ("numbers of seeds", seeds, several)):
        if differs or len(set(map(tuple, found.values()))) > 1:
            shown = "; ".join(
                f"{name}: {', '.join(f'{value:g}' for value in values)}" for name, values in found.items()
            )
            raise ConfigError(
                f"arms have different {what} ({shown}); expected the same for all, or one has an advantage"
            )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
