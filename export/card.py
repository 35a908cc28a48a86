"""The model card: what a person should know before trusting a number, made from the manifest alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lungsev.bundle.manifest import Manifest
from lungsev.export.card_tables import measured_parts
from lungsev.inference.parity import Parity
from lungsev.report import DISCLAIMER


def write_card(manifest: Manifest, parities: Iterable[Parity] = ()) -> str:
    """Markdown."""
    parts = [
        f"# {manifest.name} {manifest.version}",
        f"**{DISCLAIMER}**",
        manifest.intended_use,
        "## What it says",
        *(_scheme_lines(manifest)),
        "## Data",
        *(_data_lines(manifest)),
        "## How good it is",
        *measured_parts(manifest.metrics, [region.code for region in manifest.schemes[0].regions]),
        "Every figure of the run:",
        _metrics_table(manifest.metrics),
        "## Train it on more",
        "These images are few. BrixIA's 4,695 are handed out on request (https://brixia.github.io), and a hospital has "
        "its own. Put lung masks and graded images side by side into one folder, look with `lungsev-train data check`; "
        "then `lungsev-train model --data DIR` and `lungsev-export --fp16`.",
        "## Limits",
        "Images of children, laterals, CT scouts and images without both lungs were not part of the evaluation. The "
        "quality gate refuses what it recognises as such; it does not recognise everything. A total is given with an "
        "interval because readers themselves differ; a change smaller than that is not a change.",
        "## Graphs",
        *(_graph_lines(manifest)),
        *(f"- {parity}" for parity in parities),
        "## Licence",
        manifest.licence,
        "## Provenance",
        _provenance(manifest),
    ]
    return "\n\n".join(part for part in _joined_lists(parts) if part) + "\n"


def _scheme_lines(manifest: Manifest) -> Iterator[str]:
    for scheme in manifest.schemes:
        calibration = manifest.scheme_calibration(scheme.name)
        interval = (
            f"total interval calibrated for {calibration.coverage:.0%} of images"
            if calibration.interval_margin is not None
            else "total interval not calibrated"
        )
        yield (
            f"- **{scheme.title}** ({scheme.source}): {scheme.num_regions} regions "
            f"({', '.join(f'{region.code} {region.name}' for region in scheme.regions)}), grades {scheme.grades[0]} to "
            f"{scheme.grades[-1]} ({'; '.join(scheme.grade_names)}); decided by {calibration.decision}, {interval}."
        )


def _data_lines(manifest: Manifest) -> Iterator[str]:
    for item in manifest.provenance.data:
        yield f"- {item}"
    if manifest.provenance.split_sha256:
        yield f"- Split by patient, sha256 {manifest.provenance.split_sha256[:16]}…"
    if not manifest.provenance.data:
        yield "- The run states no data sources; see its configuration below."


def _metrics_table(metrics: Mapping[str, Any]) -> str:
    rows = list(_flatten(metrics))
    if not rows:
        return "The run states no metrics."
    return "\n".join(["| measure | value |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows)])


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        if len(value) <= 12 and all(isinstance(item, int | float) for item in value):
            yield prefix, ", ".join(_number(item) for item in value)
    elif isinstance(value, bool | int | float | str):
        yield prefix, _number(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/").replace("\n", " ")


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


def _joined_lists(parts: Iterable[str]) -> list[str]:
    """List items that follow each other belong to one list."""
    joined: list[str] = []
    for part in parts:
        if part.startswith("- ") and joined and joined[-1].startswith("- "):
            joined[-1] += f"\n{part}"
        else:
            joined.append(part)
    return joined
