"""Tables of the model card: agreement with readers, per region, view and finding, and the largest errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Decision -> head of its column: how a grade's distribution became the number.
DECISIONS = {"argmax": "most likely grade", "median": "median grade", "expected": "expected grade"}
OTHERS = {"second_reader": "second radiologist", "handcrafted": "hand-crafted features, ridge"}
OF_CALIBRATION = ("ece", "interval_coverage", "interval_width")

HEADLINE = (
    ("accuracy", "argmax"),
    ("mae", "median"),
    ("kappa", "argmax"),
    ("total_mae", "expected"),
    ("total_r", "expected"),
)


def headline(metrics: Mapping[str, Any]) -> str:
    """Return the agreement on the test part in one line; empty if the run has no test part."""
    test = metrics.get("results", {}).get("test")
    if not isinstance(test, Mapping) or "measurements" not in test:
        return ""
    shown = [m for m in test["measurements"] if (m["measure"], m["decision"]) in HEADLINE]
    numbers = (f"{_label(m)} {measured_cell({**m, 'interval': None})}" for m in shown)
    return f"{test['images']} test images of {test['patients']} patients: {'; '.join(numbers)}"


def measured_parts(metrics: Mapping[str, Any], regions: Sequence[str]) -> Iterator[str]:
    """Yield paragraphs and tables about the test part; nothing if the run has no test part.

    Every number is a measurement of `lungsev-train`: one row a quantity, one column a decision.
    """
    test = metrics.get("results", {}).get("test")
    if not isinstance(test, Mapping) or "measurements" not in test:
        return
    measured = test["measurements"]
    protocol = metrics.get("split", {}).get("protocol", "split unknown")
    yield (
        f"Agreement with the first reader on held-out images ({protocol}): {test['images']} images of "
        f"{test['patients']} patients. Columns say how a grade was decided; totals are sums of such grades. "
        "In brackets, where measured: 95 % intervals over resampled patients."
    )
    others = {OTHERS[key]: test[key]["measurements"] for key in OTHERS if key in test}
    yield _agreement(measured, others)
    yield from _calibration(measured, metrics.get("calibration_fitted_on", "not stated"))
    yield _regions(test, regions)
    for kind, groups in test.get("groups", {}).items():
        heads = [_label(m) for m in next(iter(groups.values()))]
        rows = [(f"{name} ({row[0]['images']})", [measured_cell(m) for m in row]) for name, row in groups.items()]
        yield markdown_table(f"{kind} (images)", heads, rows)
    if test.get("worst"):
        yield "The largest errors: the images whose total is furthest from the first reader's."
        yield markdown_table(
            "image", ["view", "finding", "readers", "expected total", "interval"], _worst(test["worst"])
        )


def _agreement(measured: Sequence[Mapping[str, Any]], others: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    agreement = [m for m in measured if m["measure"] not in OF_CALIBRATION]
    by_measure = {m["measure"]: m for m in agreement}
    decisions = [decision for decision in DECISIONS if any(m["decision"] == decision for m in agreement)]
    cells = {(m["measure"], m["decision"]): measured_cell(m) for m in agreement}
    more = [{m["measure"]: measured_cell(m) for m in other} for other in others.values()]
    rows = [
        (
            _title(m),
            [*(cells.get((name, decision), "") for decision in decisions), *(other.get(name, "") for other in more)],
        )
        for name, m in by_measure.items()
    ]
    return markdown_table("", [*(DECISIONS[decision] for decision in decisions), *others], rows)


def _calibration(measured: Sequence[Mapping[str, Any]], fitted_on: str) -> Iterator[str]:
    found = [m for m in measured if m["measure"] in OF_CALIBRATION]
    if found:
        yield f"Calibration. Temperature and interval were fitted on: {fitted_on}."
        yield markdown_table("", ["value", "remark"], [(_title(m), [measured_cell(m), m["caution"]]) for m in found])


def _regions(test: Mapping[str, Any], regions: Sequence[str]) -> str:
    columns = {
        f"{title}, {DECISIONS[decision]}": test[decision][f"region_{key}"]
        for title, key in (("accuracy", "accuracy"), ("MAE", "mae"))
        for decision in ("argmax", "median")
    }
    if "second_reader" in test:
        columns["MAE of the second radiologist"] = test["second_reader"]["region_mae"]
    values = zip(*columns.values(), strict=True)
    return markdown_table("region", columns, [(code, row) for code, row in zip(regions, values, strict=False)])


def measured_cell(measured: Mapping[str, Any]) -> str:
    """Return a measurement as a cell, e.g. `0.472 [0.431, 0.515]`; a dash where it is not defined."""
    if measured["value"] is None:
        return "-"
    scale, digits = 100 if measured["unit"] == "%" else 1, measured["digits"]
    ends = [end for end in measured["interval"] or () if end is not None]
    interval = f" [{', '.join(f'{scale * end:.{digits}f}' for end in ends)}]" if ends else ""
    spread = "" if measured.get("sd") is None else f" ± {scale * measured['sd']:.{digits}f}"
    return f"{scale * measured['value']:.{digits}f}{spread}{interval}"


def _title(measured: Mapping[str, Any]) -> str:
    bins = f" ({measured['bins']} bins)" if measured.get("bins") else ""
    return measured["title"] + bins + (f", {measured['unit']}" if measured["unit"] else "")


def _label(measured: Mapping[str, Any]) -> str:
    decision = DECISIONS.get(measured["decision"])
    return _title(measured) + (f" ({decision})" if decision else "")


def _worst(images: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    return [
        (
            image["image"],
            [
                image["view_position"],
                image["finding"],
                ", ".join(f"{reader} {total:g}" for reader, total in image["readers"].items()),
                image["expected_total"],
                " to ".join(f"{edge:g}" for edge in image["interval"]) if image["interval"] else "-",
            ],
        )
        for image in images
    ]


def markdown_table(corner: str, heads: Iterable[str], rows: Iterable[tuple[str, Sequence[Any]]]) -> str:
    """Return a Markdown table whose first column is under `corner` and names the rows."""
    heads = list(heads)
    lines = ["| " + " | ".join([corner, *heads]) + " |", "|" + " --- |" * (len(heads) + 1)]
    lines += ["| " + " | ".join([format_number(name), *map(format_number, values)]) + " |" for name, values in rows]
    return "\n".join(lines)


def format_number(value: Any, digits: int = 3) -> str:
    """Return a table cell: floats with so many significant digits, None as a dash, text without table marks."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")
