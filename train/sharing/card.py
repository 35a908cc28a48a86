"""The model card of a run, in the form of the Hugging Face hub. Its numbers are measured from the run's predictions.

What a run does not know is said to be unknown; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungsev.bundle.card_tables import markdown_table
from lungsev.bundle.card_text import (
    CITATION,
    DATA_SOURCES,
    INTENDED_USE,
    LICENCE,
    LIMITS,
    joined_lists,
    scheme_line,
)
from lungsev.bundle.manifest import without_paths
from lungsev.config import read_yaml
from lungsev.errors import LungsevError
from lungsev.report import DISCLAIMER
from lungsev.schemes import Scheme
from lungsev.train.evaluation.measurement import Measurement, fitted_caution
from lungsev.train.evaluation.readers import second_reader
from lungsev.train.evaluation.reporting.load import load_runs
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.runs import Run
from lungsev.train.sharing.examples import bundle_code, network_code
from lungsev.train.sharing.front_matter import front_matter

# Measure and decision of each row; None is the measure's own.
AGREEMENT = (
    ("accuracy", None),
    ("mae", "argmax"),
    ("mae", "median"),
    ("within_one", None),
    ("kappa", None),
    ("region_kappa", None),
    ("total_mae", "argmax"),
    ("total_mae", "expected"),
    ("total_bias", "expected"),
    ("total_r", "expected"),
    ("total_icc", "expected"),
)
CALIBRATION = (("ece", None), ("interval_coverage", None), ("interval_width", None))
FEW_ROWS = AGREEMENT[:2]  # of the parts that were trained or chosen on
SETTINGS = ("network", "initial", "readers", "loss", "optimizer", "loop", "geometry", "intensity", "mixup", "balance")
MORE_SETTINGS = ("ensemble", "freeze_norms", "calibration")
UNKNOWN = "The run does not say."


def run_card(path: Path, licence: str | None = None, bundle: bool = False) -> str:
    """Return the card of a finished run of grades.

    Args:
        path: Run folder.
        licence: Of the weights, in words; None is lungsev's default.
        bundle: A bundle is in a folder beside the card.

    Raises:
        LungsevError: The run is not finished or measured no grades.
    """
    run = load_runs([path])[0]
    if not (path / "config.yaml").is_file():
        raise LungsevError(f"{path} has no config.yaml, expected a run folder; an evaluation has no network of its own")
    scheme, datasets = run.predictions.scheme, _datasets(run)
    head = front_matter(run.label, licence or LICENCE, [scheme], datasets, headline(run))
    parts = [
        f"# {run.label}",
        f"**{DISCLAIMER}**",
        INTENDED_USE,
        "## How to use",
        *how_to_use(scheme, network=True, bundle=bundle),
        "## What it predicts",
        scheme_line(scheme, run.calibration),
        "## Limits",
        LIMITS,
        *_cautions(run),
        "## Training data",
        *_data_lines(run),
        "## Training procedure",
        *_procedure(run),
        "## Evaluation",
        *_evaluation(run),
        "## Calibration",
        *_calibration(run),
        "## Environment",
        _environment(path),
        "## Licence",
        licence_text(licence),
        "## Citation",
        CITATION,
    ]
    return head + "\n" + "\n\n".join(part for part in joined_lists(parts) if part) + "\n"


def headline(run: RunReport) -> list[Measurement]:
    """Return what the hub shows: agreement and calibration on the parts that nothing was trained or chosen on."""
    return [
        run.measure(name, part, decision)
        for part in ("test", "consensus")
        if part in run.parts
        for name, decision in (*AGREEMENT, *CALIBRATION)
    ]


def how_to_use(scheme: Scheme, network: bool, bundle: bool) -> Iterator[str]:
    """Yield the paragraphs that say how a shared folder is used, with code that runs in it."""
    yield "Install lungsev; then, in the folder of this card:"
    if network:
        yield "The PyTorch network (extra `train`):"
        yield f"```python\n{network_code(scheme)}```"
    if bundle:
        yield "The bundle, without torch; also `lungsev-run score image.dcm --bundle bundle --allow-unsigned`:"
        yield f"```python\n{bundle_code()}```"


def licence_text(licence: str | None) -> str:
    """Return the licence of the weights, and by what right it is stated."""
    if licence is not None:
        return licence
    return (
        f"{LICENCE}. This is what lungsev states where nobody chose: the terms of the public graded images, which are "
        "the strictest it knows. The terms of the training data decide; `--licence` states another."
    )


def _datasets(run: RunReport) -> list[str]:
    data = run.metrics.get("data", [])
    return [data] if isinstance(data, str) else [str(name) for name in data]


def _cautions(run: RunReport) -> Iterator[str]:
    """What the measured part is too small to say, each once."""
    found = [run.measure(name, run.measured, decision) for name, decision in AGREEMENT]
    for caution in dict.fromkeys(one.caution for one in found if one.caution):
        named = ", ".join(one.label() for one in found if one.caution == caution)
        yield f"- {run.measured} part, {named}: {caution}."


def _data_lines(run: RunReport) -> Iterator[str]:
    for name in _datasets(run):
        published = f", which is that of: {DATA_SOURCES[name]}" if name in DATA_SOURCES else ""
        yield f"- Images in the layout `{name}`{published}. The run names the layout, not where its images are from."
    if not _datasets(run):
        yield f"- Sources: {UNKNOWN}"
    yield f"- Lungs and alignment: {_earlier_stages(run)}"
    split = run.metrics.get("split", {})
    if split:
        shared = split.get("shared_patients")
        apart = "no patient is on two sides" if shared == 0 else f"patients on two sides: {shared}"
        protocol, sha256 = split.get("protocol", "not stated"), str(split.get("sha256", ""))
        yield f"- Split: protocol {protocol}, {apart}, sha256 {sha256[:16]}…"
    else:
        yield f"- Split: {UNKNOWN}"
    for part, (predictions, *_) in run.parts.items():
        images, patients = len(predictions.names), len(set(predictions.patients))
        readers = ", ".join(predictions.readings)
        yield f"- {part} part: {images} images of {patients} patients; readers: {readers}"


def _earlier_stages(run: RunReport) -> str:
    stated = run.settings.get("alignment")
    if not stated:
        return UNKNOWN
    earlier = Run(Path(stated))
    if not earlier.is_finished:
        return f"run `{earlier.path.name}`, which is not beside this one, so its data are not known."
    data = earlier.metrics().get("data", [])
    return f"run `{earlier.path.name}`, trained on {', '.join([data] if isinstance(data, str) else data) or 'unknown'}."


def _procedure(run: RunReport) -> Iterator[str]:
    if run.trainings:
        epochs = dict.fromkeys(str(len(training.history)) for training in run.trainings)
        kept = run.settings.get("loop", {}).get("keep", "not stated")
        yield f"Epochs trained: {', '.join(epochs)}; `loop.keep`, which chose the epoch of the weights: {kept}."
    settings = without_paths({key: run.settings[key] for key in (*SETTINGS, *MORE_SETTINGS) if key in run.settings})
    rows = [(f"`{key}`", [value]) for key, value in _flat(settings)]
    yield markdown_table("setting", ["value"], rows) if rows else f"Settings: {UNKNOWN}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting but weights of the loss that are 0."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif not (prefix == "loss." and value == 0):
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _evaluation(run: RunReport) -> Iterator[str]:
    yield (
        "Against the first reader of each image. The decision is in brackets: how a distribution of grades became one. "
        "In square brackets are 95 % bootstrap intervals, which resample patients."
    )
    for part in run.parts:
        rows = AGREEMENT if part in ("test", "consensus") else FEW_ROWS
        why = "" if part in ("test", "consensus") else f": {_why_no_test(part)}"
        yield f"### {part.capitalize()} part{why}"
        yield measured_table([run.measure(name, part, decision) for name, decision in rows])
    yield f"### Regions, {run.measured} part"
    yield _region_table(run)
    pair = second_reader(run.predictions)
    if pair is not None:
        yield f"### {pair.label[:1].upper()}{pair.label[1:]}, {run.measured} part"
        yield measured_table([pair.measure(name, run.measured) for name in ("accuracy", "mae", "kappa", "total_mae")])


def _why_no_test(part: str) -> str:
    return "trained on" if part == "train" else "epoch and calibration were chosen on it"


def measured_table(measured: Sequence[Measurement]) -> str:
    """Return a Markdown table of measured values, each with its interval, numbers and caution."""
    rows = [(one.label(), [one.text(), one.images, one.patients, one.caution or "-"]) for one in measured]
    return markdown_table("measure", ["value", "images", "patients", "caution"], rows)


def _region_table(run: RunReport) -> str:
    names = ("accuracy", "mae", "kappa")
    rows, heads = [], []
    for region in run.predictions.scheme.regions:
        found = [run.measure(name, run.measured, region=region.code) for name in names]
        heads = [one.label().replace(f", {region.code}", "") for one in found]
        rows.append((f"{region.code} {region.name}", [*(one.text() for one in found), found[0].images]))
    return markdown_table("region", [*heads, "images"], rows)


def _calibration(run: RunReport) -> Iterator[str]:
    predictions, part = run.predictions, run.measured
    scheme = predictions.scheme.name
    temperature = run.metrics.get("temperature", {}).get(scheme)
    yield f"- Temperature: {UNKNOWN if temperature is None else f'{temperature:.3f} (logits are divided by it)'}"
    margin = run.calibration.interval_margin
    stated = f"{run.calibration.coverage:.0%}"
    yield (
        f"- Interval of the total, meant to hold {stated} of readers' totals: "
        + (f"widened by {margin:.2f} points on each side." if margin is not None else "not calibrated.")
    )
    yield f"- Fitted on: {f'the {predictions.fitted_on} part' if predictions.fitted_on else UNKNOWN.lower()}"
    caution = fitted_caution(predictions, part)
    yield f"- On the {part} part{f', {caution}' if caution else ''}:"
    yield measured_table([run.measure(name, part, decision) for name, decision in CALIBRATION])


def _environment(path: Path) -> str:
    made_by = without_paths(read_yaml(path / "config.yaml", own=True).get("made_by", {}))
    rows = [(key.replace("_", " "), [value]) for key, value in _flat(made_by)]
    return markdown_table("", ["trained with"], rows) if rows else UNKNOWN
