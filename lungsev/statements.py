"""What every format says of a result beside its numbers: the red stop, who signed it, what changed, the remarks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from lungsev.report import RegionScore, SchemeScore, SeverityReport
from lungsev.schemes import builtin_schemes, load_scheme
from lungsev.standing import Standing, StandingEntry, StandingState

SIGNED: tuple[StandingState, ...] = ("agreed", "corrected")
LEFT_OUT = "Not assessable: left out by the reader."
_NOT_RECORDED = "not recorded"


def signer(report: SeverityReport) -> str | None:
    """Return who signed the grades that stand; None while they are the model's alone.

    Of a superseded result it is who had signed it before.
    """
    standing = report.standing
    if standing.state in SIGNED:
        return standing.by or _NOT_RECORDED
    if standing.state == "superseded":
        signatures = [entry for entry in standing.history if entry.state in SIGNED and not _is_note(entry)]
        return (signatures[-1].by or _NOT_RECORDED) if signatures else None
    return None


def with_standing_grades(report: SeverityReport, scheme: str) -> SchemeScore:
    """Return a scheme's score with the grades and the total that stand; its probabilities stay the model's."""
    score, standing = report.scores[scheme], report.standing_score(scheme)
    regions = tuple(_with_grade(region, standing.grades[region.code]) for region in score.regions)
    return replace(score, regions=regions, total=standing.total, partial=standing.partial)


def _with_grade(region: RegionScore, grade: int | None) -> RegionScore:
    why = None if grade is not None else region.not_assessable or LEFT_OUT
    return replace(region, grade=grade, not_assessable=why)


def as_standing_in(report: SeverityReport, scheme: str) -> SeverityReport:
    """Return a report whose standing is that of one scheme: a reader's signature counts for what was signed only."""
    standing = report.standing
    if standing.state not in SIGNED or not standing.grades or scheme in standing.grades:
        return report
    return replace(report, standing=replace(standing, state="model", by=None, at=None, reason=None, history=()))


def other_scores(report: SeverityReport) -> tuple[str, ...]:
    """Return what stands under the schemes beside the main one, a sentence each, with the grade of every region."""
    said = []
    for name, score in report.scores.items():
        if name != report.main_scheme:
            grades = report.standing_score(name).grades
            shown = [f"{region.name} {_shown(grades[region.code])}" for region in score.regions]
            said.append(f"{scheme_title(name)}: {', '.join(shown)} (of {score.grades[-1]} each).")
    return tuple(said)


@cache
def scheme_title(name: str) -> str:
    """Return what people call a scheme: its title up to the first comma, or the name of one that is not built in."""
    return load_scheme(name).title.partition(",")[0] if name in builtin_schemes() else name


def _shown(grade: int | None) -> str:
    return "not assessable" if grade is None else str(grade)


def is_amended(report: SeverityReport) -> bool:
    """Whether a person changed, signed or took back what had been given out before."""
    standing = report.standing
    decided = standing.state in SIGNED or any(entry.by for entry in standing.history)
    return standing.state == "corrected" or (decided and standing.revision > 1)


def standing_statement(report: SeverityReport) -> str | None:
    """Say in a sentence what stands; None while it is the model's result."""
    standing = report.standing
    if standing.state == "superseded":
        return f"Superseded: do not use this result. {standing.reason or ''}".rstrip()
    if standing.state not in SIGNED:
        return None
    said = "" if standing.state == "agreed" and _is_the_models(report) else f"; the model said {_model_total(report)}"
    reason = f" {standing.reason}" if standing.reason else ""
    return f"{standing.state.capitalize()} by {signer(report)}{said}.{reason}"


def warnings(report: SeverityReport) -> tuple[str, ...]:
    """Return what must be read before the numbers: the red stop, and that the result is superseded."""
    superseded = standing_statement(report) if report.standing.state == "superseded" else None
    return tuple(text for text in (stop_statement(report), superseded) if text)


def stop_statement(report: SeverityReport) -> str | None:
    """Return the red stop, so marked."""
    return f"STOP: {report.stop}" if report.stop else None


def remarks(report: SeverityReport) -> Iterator[str]:
    """Yield what is read after the numbers: who signed, the notice, the quality remarks."""
    if report.standing.state != "superseded" and (statement := standing_statement(report)):
        yield statement
    yield report.disclaimer
    for flag in report.quality.flags:
        yield flag.message


def change_percent(report: SeverityReport) -> int | None:
    """Return the probability of the change in percent, as its words have it; None where it is not settled."""
    change = report.change
    return None if change is None or change.probability is None else min(99, math.floor(100 * change.probability + 0.5))


def _is_note(entry: StandingEntry) -> bool:
    """Whether a step of the history signed nothing by itself, though a signature stood at that time."""
    return entry.by is None or (entry.reason or "").startswith("Taken back:")


def _is_the_models(report: SeverityReport) -> bool:
    return all(
        report.standing_score(name).grades == {region.code: region.grade for region in score.regions}
        for name, score in report.scores.items()
    )


def _model_total(report: SeverityReport) -> str:
    """Return what the model said of the main scheme."""
    unsigned = replace(report, standing=Standing())
    return unsigned.standing_score(report.main_scheme).words
