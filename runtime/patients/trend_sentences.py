"""What changed at an image, in the words of every screen: a sentence, and a headline with its detail."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lungsev.change import capitalised, change_sentence, format_hours, signed_points
from lungsev.moment import Moment
from lungsev.runtime.patients.trend import Trend, TrendPoint

PREVIOUS = "the previous X-ray"
State = Literal["worse", "better", "steady", "first"]


@dataclass(frozen=True)
class Headline:
    """The change in large letters, and what it rests on in small ones. `state` is `steady` where none is called."""

    state: State
    text: str
    detail: str = ""


def trend_document(trend: Trend) -> dict[str, Any]:
    """Return the course in plain JSON types, each point with its sentence."""
    document = asdict(trend)
    for point, plain in zip(trend.points, document["points"], strict=True):
        plain["acquired_at"] = point.acquired_at.isoformat()
        plain["sentence"] = sentence(point)
    return document


def sentence(point: TrendPoint) -> str:
    """Say what changed at a point, and what else may explain it."""
    text = "First X-ray of the course." if point.change is None else change_sentence(point.change, PREVIOUS)
    if point.stands_out:
        text += " A single X-ray stands out: the next one is back at the level before it."
    if point.view_changed:
        text += f" Different view from {PREVIOUS} ({point.view or 'not recorded'})."
    return text


def headline(point: TrendPoint | None) -> Headline:
    """Return the change as the board shows it; None is an image without a place in the course."""
    if point is None or point.change is None:
        return Headline("first", "First X-ray")
    change, called = point.change, point.called
    moved = "" if change.points is None else signed_points(change.points)
    step = moved if change.hours is None else f"{moved} in {format_hours(change.hours)}"
    if change.direction == "unknown":
        text, _, reason = change.words.partition(": ")
        return Headline("steady", capitalised(text), reason or f"{moved} beside {PREVIOUS}")
    if called is None or called.direction in ("none", "unknown"):
        return Headline("steady", capitalised(change.words), f"{step} since {PREVIOUS}")
    state: State = "worse" if called.direction == "worse" else "better"
    if called is change or point.drift_since is None:
        return Headline(state, capitalised(called.words), f"{step} since {PREVIOUS}")
    drifted = f"{signed_points(called.points or 0)} since {format_moment(point.drift_since)}"
    return Headline(state, capitalised(called.words), f"{drifted} ({step} since {PREVIOUS})")


def format_moment(moment: Moment) -> str:
    """Return `20 Nov 08:00`, or `20 Nov` for a date without a time."""
    return f"{moment.earliest():%d %b} {moment.clock}".rstrip()
