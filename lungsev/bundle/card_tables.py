"""Tables of the model card: agreement with readers, per region, view and finding, and the largest errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Head of the column -> key of `lungsev.train.evaluation.metrics.SeverityMetrics`
SUMMARY = {
    "images": "images",
    "region accuracy": "accuracy",
    "region MAE": "mae",
    "quadratic kappa": "kappa",
    "total MAE": "total_mae",
    "total r": "total_correlation",
}


def headline(metrics: Mapping[str, Any]) -> str:
    """Return the agreement on the test part in one line; empty if the run has no test part."""
    test = metrics.get("results", {}).get("test")
    if not isinstance(test, Mapping) or "expected_total" not in test:
        return ""
    numbers = (f"{head} {format_number(test['expected_total'].get(key))}" for head, key in list(SUMMARY.items())[1:])
    return f"{test['expected_total'].get('images')} test images: {', '.join(numbers)}"


def measured_parts(metrics: Mapping[str, Any], regions: Sequence[str]) -> Iterator[str]:
    """Yield paragraphs and tables about the test part; nothing if the run has no test part."""
    test = metrics.get("results", {}).get("test")
    if not isinstance(test, Mapping) or "expected_total" not in test:
        return
    network = test["expected_total"]
    rows = {"this model": network}
    for name, key in (("second radiologist", "second_reader"), ("hand-crafted features, ridge", "handcrafted")):
        if key in test:
            rows[name] = test[key]
    protocol = metrics.get("split", {}).get("protocol", "split unknown")
    yield (
        f"Agreement with the first reader on held-out images ({protocol}). "
        f"The expected calibration error is {format_number(test.get('calibration_error'))}. The interval of the total "
        f"covers {format_number(test['interval']['coverage'])} of the images (stated: "
        f"{format_number(test['interval']['stated_coverage'])}) and is {format_number(test['interval']['mean_width'])} "
        "points wide on average."
    )
    yield markdown_table(
        "", SUMMARY, [(name, [row.get(key) for key in SUMMARY.values()]) for name, row in rows.items()]
    )
    yield markdown_table(
        "region",
        ["accuracy", "MAE", *(["MAE of the second radiologist"] if "second_reader" in test else [])],
        [(code, values) for code, values in zip(regions, _per_region(test), strict=False)],
    )
    for title, key in (("view", "views"), ("finding", "findings")):
        if test.get(key):
            groups = [(name, [row.get(k) for k in SUMMARY.values()]) for name, row in test[key].items()]
            yield markdown_table(title, SUMMARY, groups)
    if test.get("worst"):
        yield "The largest errors: the images whose total is furthest from the first reader's."
        yield markdown_table(
            "image", ["view", "finding", "readers", "expected total", "interval"], _worst(test["worst"])
        )


def _per_region(test: Mapping[str, Any]) -> Iterator[list[Any]]:
    columns = [test["expected_total"]["region_accuracy"], test["expected_total"]["region_mae"]]
    if "second_reader" in test:
        columns.append(test["second_reader"]["region_mae"])
    yield from (list(values) for values in zip(*columns, strict=True))


def _worst(images: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    return [
        (
            image["image"],
            [
                image["view"],
                image["finding"],
                ", ".join(f"{reader} {total:g}" for reader, total in image["readers"].items()),
                image["expected_total"],
                " to ".join(f"{edge:g}" for edge in image["interval"]),
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
