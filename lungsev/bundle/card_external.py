"""The card's section of external results: what other people's images say, none of them trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lungsev.bundle.card_tables import markdown_table, measured_cell

NOTHING = "Not measured on images of other collections (`lungsev-train external`)."


def external_parts(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield one paragraph and one table for each dataset that the bundle was measured on."""
    measured = metrics.get("external", {})
    if not measured:
        yield NOTHING
    for name, found in measured.items():
        yield (
            f"**{name}** ({found['what']}; {found['part']}): {found['images']} images of {found['patients']} patients, "
            f"{found['scored']} scored{_refused(found['refused'])}."
        )
        rows = [
            (row["title"], [row["measure"], measured_cell(row), row["images"], row["patients"]])
            for row in found["measurements"]
        ]
        yield markdown_table("", ["measure", "value [95 % interval]", "images", "patients"], rows)


def _refused(reasons: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return f"; without a score: {listed}" if listed else ""
