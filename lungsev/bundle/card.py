"""The model card in Markdown: what a reader needs to know before using the model, made from the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lungsev.bundle.card_external import external_parts
from lungsev.bundle.card_tables import format_number, markdown_table, measured_parts
from lungsev.bundle.card_text import LIMITS, joined_lists, scheme_line
from lungsev.bundle.manifest import Manifest
from lungsev.inference.parity import Parity
from lungsev.report import DISCLAIMER


def write_card(manifest: Manifest, parities: Iterable[Parity] = ()) -> str:
    """Return the card of a model, with one line for each comparison that its graphs passed."""
    parts = [
        f"# {manifest.name} {manifest.version}",
        f"**{DISCLAIMER}**",
        manifest.intended_use,
        "## What it predicts",
        *(scheme_line(scheme, manifest.scheme_calibration(scheme.name)) for scheme in manifest.schemes),
        "## Data",
        *(_data_lines(manifest)),
        "## Accuracy",
        *measured_parts(manifest.metrics, [region.code for region in manifest.main_scheme.regions]),
        "## External results",
        *external_parts(manifest.metrics),
        "## Change between two images",
        *(_change_lines(manifest)),
        "## Earlier stages and settings of the run",
        _metrics_table(manifest.metrics),
        "## Train it on more",
        "The training set is small. The BrixIA dataset of 4,695 images is available on request "
        "(https://brixia.github.io), and a hospital has its own images. Put lung masks and graded images side by side "
        "into one folder and check it with `lungsev-train data check`; then run `lungsev-train model --data DIR` and "
        "`lungsev-export --fp16`.",
        "## Limits",
        LIMITS,
        "## Graphs",
        *(_graph_lines(manifest)),
        *(f"- {parity}" for parity in parities),
        "## Licence",
        manifest.licence,
        "## Provenance",
        _provenance(manifest),
    ]
    return "\n\n".join(part for part in joined_lists(parts) if part) + "\n"


def _data_lines(manifest: Manifest) -> Iterator[str]:
    for item in manifest.provenance.data:
        yield f"- {item}"
    if manifest.provenance.split_sha256:
        yield f"- Split by patient, sha256 {manifest.provenance.split_sha256[:16]}…"
    if not manifest.provenance.data:
        yield "- The run states no data sources; see its configuration below."


def _change_lines(manifest: Manifest) -> Iterator[str]:
    for scheme in manifest.schemes:
        change = manifest.scheme_calibration(scheme.name).change
        if change is None:
            yield f"- **{scheme.title}**: repeatability not measured, so no change is called (`lungsev-train change`)."
            continue
        yield (
            f"- **{scheme.title}**: {change.shared_error:.0%} of the variance of an image's total is an error that the "
            f"images of a patient share. The true total drifts by {change.drift_per_day:.2g} points² a day, and steps "
            f"besides in {change.step_share:.0%} of the intervals (variance {change.step_variance:.2g} points²). A "
            f"change of at least {change.margin:g} points is called from a probability of {change.call_from:.2f} on."
        )
        if change.evidence:
            weights = ", ".join(f"{weight:.2g} x {name}" for name, weight in change.evidence)
            yield f"- The total that a change is told by is a sum of expected totals: {weights}, and an offset."
        measured = manifest.metrics.get("change", {}).get(scheme.name)
        if measured:
            yield from _measured_changes(measured)


def _measured_changes(measured: Mapping[str, Any]) -> Iterator[str]:
    test = measured["test"]
    yield (
        f"- Measured on {test['images']} images of {test['patients']} patients ({measured['data']}) that were not "
        f"fitted on, with 95 % intervals (Wilson's, or of resampled patients where wider):"
    )
    rows = []
    parts = [("called changed", test["same_day_called"]), ("agreed change of 4 points found", test["agreed_found"])]
    for truth, agreement in test.get("agreement", {}).items():
        parts.append((f"direction right in clear steps of {truth}", agreement["direction"]))
        yield from _correlation_lines(truth, agreement)
    for title, part in parts:
        for name, row in part.items():
            if row["rate"] is not None:
                low, high = row["interval"]
                values = [f"{row['rate']:.1%}", f"{low:.1%} to {high:.1%}", row["pairs"], row["patients"]]
                rows.append((f"{title}: {name}", values))
    yield markdown_table("pairs of images", ["share", "interval", "pairs", "patients"], rows)


def _correlation_lines(truth: str, agreement: Mapping[str, Any]) -> Iterator[str]:
    """Say how changes correlate with the readers' mean, and one reader's with the other's."""
    told = {**agreement["r"], "one reader's change with the other's": agreement["reader_r"]}
    found = [
        f"{name} {row['rate']:.2f} ({row['interval'][0]:.2f} to {row['interval'][1]:.2f})"
        for name, row in told.items()
        if row["rate"] is not None
    ]
    if found:
        yield f"- Correlation with the readers' mean change of {truth} between two images: {'; '.join(found)}."


def _metrics_table(metrics: Mapping[str, Any]) -> str:
    rows = [(key, [value]) for key, value in _flatten(metrics)]
    return markdown_table("measure", ["value"], rows) if rows else "The run states no metrics."


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if prefix == "" and key in ("change", "external", "results"):  # have sections of their own
                continue
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        if len(value) <= 12 and all(isinstance(item, int | float) for item in value):
            yield prefix, ", ".join(format_number(item, 4) for item in value)
    elif isinstance(value, bool | int | float | str):
        yield prefix, format_number(value, 4)


def _graph_lines(manifest: Manifest) -> Iterator[str]:
    for precision, spec in manifest.graphs.items():
        line = f"- {precision}: opset {spec.opset}"
        if spec.gflop is not None:
            line += f", {spec.gflop:g} GFLOP per image"
        if spec.half_share is not None:
            line += f", {spec.half_share:.1%} of it in half precision"
        yield line
        for island in spec.fp32_islands:
            yield f"- {precision} keeps {island.part} in FP32: {island.reason}"


def _provenance(manifest: Manifest) -> str:
    source = manifest.provenance
    versions = ", ".join(f"{name} {version}" for name, version in source.versions.items())
    return (
        f"Exported {source.created_at} from run {source.run or 'unknown'} (commit {source.commit or 'unknown'}), "
        f"preprocessing version {manifest.preprocessing_version}, {versions}. "
        "The whole configuration is in manifest.yaml."
    )
