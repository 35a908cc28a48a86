"""The figures of change as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DIRECTION_AIM, CORRELATION_AIM, SAME_DAY_AIM = 0.90, 0.60, 0.05


def lines_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures as a table of lines: parameters, evidence, the three aims, and what lies behind them."""
    parameters, test = found["parameters"], found["test"]
    numbers = {name: value for name, value in parameters.items() if not name.startswith("evidence")}
    yield "Repeatability: " + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    yield from _evidence_lines(found)
    yield (
        f"Nested in {len(found['folds'])} folds of patients: {test['patients']} patients, {test['images']} images, "
        f"{test['pairs']} consecutive pairs"
    )
    for truth, agreement in test["agreement"].items():
        yield from _agreement_lines(truth, agreement)
    for title, part in (
        (f"Called changed (aim: at most {SAME_DAY_AIM:.0%})", "same_day_called"),
        ("Agreed change found", "agreed_found"),
    ):
        for name, row in test[part].items():
            yield from _line(f"{title}, {name}", row)
    for truth, rows in test["reliability"].items():
        yield f"  Probability against the readers' mean, {truth}: pairs, mean probability, same way, other way"
        for row in rows:
            yield (
                f"    {row['from']:.2f}-{row['to']:.2f}: {row['pairs']:4d}  {row['probability']:.2f}  "
                f"{row['same_way']:.2f}  {row['other_way']:.2f}"
            )
    yield "  Called from: one day, pair alone; one day, in its course; agreed change found"
    for row in test["trade_off"]:
        shares = (row[name] for name in ("same_day_pair_alone", "same_day_in_course", "agreed_found_every_two"))
        yield f"    {row['call_from']:.2f}: " + "  ".join("-" if share is None else f"{share:.1%}" for share in shares)


def _evidence_lines(found: Mapping[str, Any]) -> Iterator[str]:
    if len(found["compared"]) > 1:
        yield "Evidence, by the correlation of its changes with the readers' on inner folds:"
        for name, row in found["compared"].items():
            yield from _line(name, row, plain=True)
    weights = found["parameters"]["evidence"]
    chosen = " + ".join(f"{weight:.3g} x {name}" for name, weight in weights)
    yield f"Changes are told by {chosen or 'the shown total alone'}"


def _agreement_lines(truth: str, agreement: Mapping[str, Any]) -> Iterator[str]:
    clear = f"clear steps of {truth}, {agreement['clear_points']:g} points or more"
    for name, row in agreement["r"].items():
        yield from _line(f"Correlation with the readers' mean change (aim: {CORRELATION_AIM:.2f}), {name}", row, True)
    yield from _line("Correlation of one reader's change with the other's", agreement["reader_r"], True)
    for name, row in agreement["direction"].items():
        yield from _line(f"Direction right (aim: at least {DIRECTION_AIM:.0%}) in {clear}, {name}", row)
    yield from _line("Direction of one reader right in clear steps of the other", agreement["reader_direction"])
    yield from _line("One reader's total did not move in clear steps of the other", agreement["reader_still"])


def _line(title: str, row: Mapping[str, Any], plain: bool = False) -> Iterator[str]:
    """Yield what was counted, with its interval; nothing where nothing could be."""
    if row["rate"] is not None:
        low, high = row["interval"]
        values = [f"{value:.3f}" if plain else f"{value:.1%}" for value in (row["rate"], low, high)]
        yield (
            f"  {title}: {values[0]} ({values[1]} to {values[2]}) of {row['pairs']} pairs of {row['patients']} patients"
        )
