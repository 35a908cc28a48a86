"""What stands of an image's result: the model's grades and the decisions of people about them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lungsev.report import SeverityReport
from lungsev.runtime.patients.decision import Decision, DecisionLog, Grades, Kind
from lungsev.standing import Standing, StandingEntry, StandingState

_SIGNING: tuple[Kind, ...] = ("correction", "agreement")
_LONGEST_CHAIN = 50  # images that replaced each other


def with_standing(image: str, report: SeverityReport, log: DecisionLog) -> SeverityReport:
    """Return a report with what stands of its result now; the revision stays what was given out."""
    return replace(report, standing=standing_of(image, report, log))


def standing_of(image: str, report: SeverityReport, log: DecisionLog) -> Standing:
    """Return what stands of an image's result.

    A reader's grades stand, also when another model scores the image afterwards. They go along to an image that
    replaced the one that was signed. The revision is the report's own.

    Args:
        image: Id of the image.
        report: Its report with the model's present grades.
        log: The decisions of the output folder.
    """
    walk = _Walk(report, _first_grades(image, report, log))
    for decision, origin in _steps(image, log):
        walk.take(image, decision, origin)
    return replace(walk.standing, revision=report.standing.revision, history=tuple(walk.history))


def is_superseded(image: str, log: DecisionLog) -> bool:
    """Return whether another image replaced this one."""
    return any(True for _ in log.counting(image, "superseded"))


def model_grades(report: SeverityReport) -> dict[str, dict[str, int]]:
    """Return the model's grades by scheme and region; regions without one are left out."""
    return {
        name: {region.code: region.grade for region in score.regions if region.grade is not None}
        for name, score in report.scores.items()
    }


@dataclass
class _Walk:
    """The state of a result from decision to decision."""

    report: SeverityReport
    model: dict[str, dict[str, int]]
    standing: Standing = field(default_factory=Standing)
    history: list[StandingEntry] = field(default_factory=list)

    def take(self, image: str, decision: Decision, origin: str | None) -> None:
        """Apply one decision; `origin` is the image it was made about, where this one replaced that."""
        if decision.kind == "undo":
            self._note(decision, self.standing.state, f"Taken back: {decision.reason}")
        elif decision.kind == "rescored":
            self._score_again(decision)
        elif decision.kind == "superseded" and decision.subject == image:
            self._set(decision, "superseded", decision.reason, superseded_by=decision.object)
        elif decision.kind == "superseded":
            self._replace(decision)
        else:
            self._sign(decision, origin)

    def _sign(self, decision: Decision, origin: str | None) -> None:
        grades = {name: dict(found) for name, found in self.standing.grades.items()}
        if decision.kind == "agreement":
            grades |= {name: _known(found) for name, found in decision.details["grades"].items()}
        else:
            name = decision.details["scheme"]
            changed = {code: after for code, (_, _, after) in decision.details["regions"].items()}
            full = decision.details.get("grades")  # not in corrections of earlier releases
            grades[name] = _known(full or {**self.model.get(name, {}), **grades.get(name, {}), **changed})
        grades = {name: found for name, found in grades.items() if name in self.report.scores}
        state: StandingState = "agreed" if decision.kind == "agreement" else "corrected"
        reason = decision.reason or None
        if origin is not None:
            said = f"Signed on image {origin}, which this one replaces"
            reason = f"{said}: {decision.reason}" if decision.reason else f"{said}."
        self._set(decision, state, reason, grades=grades)

    def _score_again(self, decision: Decision) -> None:
        self.model = _copy(decision.details["grades"])
        if self.standing.first_model is None:
            self.standing = replace(self.standing, first_model=decision.details.get("first_model"))
        if self.standing.state in ("model", "superseded"):
            self._set(decision, self.standing.state, decision.reason)
        else:  # the signature stands; the history tells the new opinion
            self.history.append(
                StandingEntry("model", decision.at, decision.by, decision.reason, self._known(self.model))
            )

    def _replace(self, decision: Decision) -> None:
        reason = f"Replaces image {decision.subject}: {decision.reason}"
        self.standing = replace(self.standing, supersedes=decision.subject)
        if self.standing.state == "model":
            self._set(decision, "model", reason)
        else:
            self._note(decision, self.standing.state, reason)

    def _set(
        self,
        decision: Decision,
        state: StandingState,
        reason: str | None,
        grades: Grades | None = None,
        superseded_by: str | None = None,
    ) -> None:
        self.standing = replace(
            self.standing,
            state=state,
            by=decision.by,
            at=decision.at,
            reason=reason,
            grades=self.standing.grades if grades is None else _copy(grades),
            superseded_by=superseded_by or self.standing.superseded_by,
        )
        self._note(decision, state, reason)

    def _note(self, decision: Decision, state: StandingState, reason: str | None) -> None:
        grades = self._known({**self.model, **self.standing.grades})
        entry = StandingEntry(state, decision.at, decision.by, reason, grades)
        last = self.history[-1] if self.history else None
        if last and (last.state, last.at, last.by, last.reason) == (entry.state, entry.at, entry.by, entry.reason):
            self.history[-1] = entry  # several regions of one correction, as earlier releases kept them
        else:
            self.history.append(entry)

    def _known(self, grades: Grades) -> dict[str, dict[str, int]]:
        return {name: dict(found) for name, found in grades.items() if name in self.report.scores}


def _steps(image: str, log: DecisionLog) -> list[tuple[Decision, str | None]]:
    """Return the decisions that decide about an image, oldest first, with the image they were made about if another."""
    own: list[tuple[Decision, str | None]] = [
        (item, None)
        for item in log.about(image)
        if (item.kind in (*_SIGNING, "superseded", "rescored") and log.counts(item)) or _is_image_undo(item, log)
    ]
    steps: list[tuple[Decision, str | None]] = []
    newer = image
    for _ in range(_LONGEST_CHAIN):
        replacing = log.replaced(newer)
        if replacing is None or not replacing.details.get("carries", True):
            break
        newer = replacing.subject
        if newer == image:
            break
        steps = [(item, newer) for item in log.counting(newer, *_SIGNING)] + steps
    replacing = log.replaced(image)
    return [*steps, *([(replacing, None)] if replacing else []), *own]


def _is_image_undo(item: Decision, log: DecisionLog) -> bool:
    if item.kind != "undo":
        return False
    undone = log.decision(int(item.details["undoes"]))
    return undone is not None and undone.kind in ("agreement", "superseded")


def _first_grades(image: str, report: SeverityReport, log: DecisionLog) -> dict[str, dict[str, int]]:
    """Return what the first model said: a later one's grades are in the report, the former in its decision."""
    first = next(log.counting(image, "rescored"), None)
    return _copy(first.details["before"]) if first is not None else model_grades(report)


def _known(grades: Mapping[str, int | None]) -> dict[str, int]:
    """Leave out the regions that were signed as not assessable."""
    return {code: grade for code, grade in grades.items() if grade is not None}


def _copy(grades: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {name: dict(found) for name, found in grades.items()}
