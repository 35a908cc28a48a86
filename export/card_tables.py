"""The card's tables of what was measured: against readers, per region, view and finding, and where it fails."""

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


def measured_parts(metrics: Mapping[str, Any], regions: Sequence[str]) -> Iterator[str]:
    """Paragraphs and tables of the test part; nothing where the run measured none."""
    test = metrics.get("results", {}).get("test")
    if not isinstance(test, Mapping) or "expected_total" not in test:
        return
    network = test["expected_total"]
    rows = {"this model": network}
    for name, key in (("second radiologist", "second_reader"), ("hand-crafted features, ridge", "handcrafted")):
        if key in test:
            rows[name] = test[key]
    yield (
        f"Against the first reader, on images held back ({metrics.get('split', {}).get('protocol', 'split unknown')}). "
        f"Expected calibration error {_number(test.get('calibration_error'))}; the interval of the total covers "
        f"{_number(test['interval']['coverage'])} of the images, "
        f"stated {_number(test['interval']['stated_coverage'])}, {_number(test['interval']['mean_width'])} points wide."
    )
    yield _table("", SUMMARY, [(name, [row.get(key) for key in SUMMARY.values()]) for name, row in rows.items()])
    yield _table(
        "region",
        ["accuracy", "MAE", *(["MAE of the second radiologist"] if "second_reader" in test else [])],
        [(code, values) for code, values in zip(regions, _per_region(test), strict=False)],
    )
    for title, key in (("view", "views"), ("finding", "findings")):
        if test.get(key):
            groups = [(name, [row.get(k) for k in SUMMARY.values()]) for name, row in test[key].items()]
            yield _table(title, SUMMARY, groups)
    if test.get("worst"):
        yield "Where it fails most: the images whose total is furthest from the first reader's."
        yield _table("image", ["view", "finding", "readers", "expected total", "interval"], _worst(test["worst"]))


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


def _table(corner: str, heads: Iterable[str], rows: Iterable[tuple[str, Sequence[Any]]]) -> str:
    heads = list(heads)
    lines = ["| " + " | ".join([corner, *heads]) + " |", "|" + " --- |" * (len(heads) + 1)]
    lines += ["| " + " | ".join([_number(name), *map(_number, values)]) + " |" for name, values in rows]
    return "\n".join(lines)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")
