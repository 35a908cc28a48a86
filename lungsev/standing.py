"""What stands of an image's result: the model's grades or those a reader signed, and what changed since before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

StandingState = Literal["model", "agreed", "corrected", "superseded"]
Direction = Literal["worse", "better", "none", "unknown"]

_Code = Annotated[str, Field(json_schema_extra={"pattern": "^[a-z0-9_]+$"})]
_Text = Annotated[str, Field(json_schema_extra={"minLength": 1})]
_Probability = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 1})]
_Grades = Annotated[dict[str, dict[str, int]], Field(description="By scheme and region.")]


@dataclass(frozen=True)
class StandingEntry:
    """One step in the history of a result.

    Attributes:
        by: Who signed it; None for the model and for what lungsev did by itself.
        at: UTC, ISO 8601.
        grades: Those that the step left standing.
    """

    state: StandingState
    at: str
    by: str | None = None
    reason: str | None = None
    grades: _Grades = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What stands of an image's result, and how it came about.

    Attributes:
        revision: Counts the results that were given out for this image, from 1.
        grades: The grades that stand, where they are not the model's.
        by, at, reason: Of the last step; `at` is UTC, ISO 8601.
        superseded_by, supersedes: Id of the image that replaced this one, and of the one that this replaced.
        first_model: Name, version and bundle of the first revision's model, where another one made the present score.
        history: Oldest step first; empty while nobody has changed the model's result.
    """

    state: StandingState = "model"
    revision: Annotated[int, Field(json_schema_extra={"minimum": 1})] = 1
    grades: _Grades = field(default_factory=dict)
    by: str | None = None
    at: str | None = None
    reason: str | None = None
    superseded_by: str | None = None
    supersedes: str | None = None
    first_model: str | None = None
    history: tuple[StandingEntry, ...] = ()


@dataclass(frozen=True)
class Change:
    """What changed since an earlier image of the same course.

    Attributes:
        direction: `none`: no change is called; `unknown`: the two images cannot be compared, `words` say why.
        probability: Of the direction; None where it is not settled.
        points: Standing total minus that of the earlier image.
        against: Id of the earlier image.
        hours: Between the two; None when their order or hour is unknown.
        words: The change in words: `probably worse, 92 %`.
    """

    direction: Direction
    words: _Text
    probability: _Probability | None = None
    points: int | None = None
    against: str | None = None
    hours: float | None = None


@dataclass(frozen=True)
class OutputState:
    """One output of the image: `written`, or `missing` with the reason in one sentence."""

    name: _Code
    state: Literal["written", "missing"] = "written"
    reason: str | None = None
