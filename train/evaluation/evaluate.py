"""`lungsev-train evaluate RUN|BUNDLE... --data DIR`: grades a dataset and measures the agreement with its readers.

Several sources are an ensemble: their probabilities are averaged. Images the sources were trained on are set apart
by name and by patient, whatever their folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lungsev.errors import ConfigError, LungsevError
from lungsev.grading import Calibration
from lungsev.networks.checkpoint import load_network
from lungsev.schemes import Scheme
from lungsev.system import write_atomically
from lungsev.train.console import say, track, warn
from lungsev.train.data.cache import CachedImage, demand_readable, prepare
from lungsev.train.data.datasets import GradedImage, load_graded
from lungsev.train.data.duplicates import find_twins, with_joined_patients
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.calibration import with_intervals
from lungsev.train.evaluation.inference import Outputs, embed, find_lungs, predict
from lungsev.train.evaluation.predictions import collect
from lungsev.train.evaluation.samples import map_name, report_samples
from lungsev.train.evaluation.summary import headline, measurements_of, summarise
from lungsev.train.fitting.device import device_of
from lungsev.train.runs import Run, finished_run, write_json
from lungsev.train.settings import Positive, Settings
from lungsev.train.threads import use_threads

SHOWN = (
    ("accuracy", "argmax"),
    ("mae", "argmax"),
    ("mae", "median"),
    ("kappa", "argmax"),
    ("total_mae", "argmax"),
    ("total_mae", "expected"),
    ("total_r", "expected"),
    ("ece", "argmax"),
    ("interval_coverage", "interval"),
)


class EvaluateSettings(Settings):
    """`lungsev-train evaluate`."""

    sources: tuple[Path, ...]
    data: Path | None = None  # None: the dataset of the first run
    layout: str | None = None
    scheme: str | None = None
    tta: tuple[str, ...] = ()  # test-time augmentation: flip, zoom_in, zoom_out, turn_left, turn_right
    cache: Path = Path("runs/cache")
    workers: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"  # of the networks of runs; a bundle has its own backend
    threads: Positive | None = None  # of torch, OpenCV and a bundle's backend; None: as many as they choose
    skip_unreadable: bool = False


def evaluate(settings: EvaluateSettings, out: Path) -> dict[str, Any]:
    """Grade every image and leave predictions, report samples, metrics.json and metrics.md in `out`.

    Raises:
        ConfigError: A source is neither a finished run nor a bundle, or grades by another scheme.
        DatasetError: The folder is no dataset of graded images.
    """
    use_threads(settings.threads)
    runs = [finished_run(path) for path in settings.sources if not is_bundle(path)]
    root, scheme_name = _root_and_scheme(settings, runs)
    dataset = load_graded(root, settings.layout, scheme_name)
    for problem in dataset.problems:
        warn(problem)
    prepared = prepare(dataset.images, settings.cache, workers=settings.workers)
    for remark in demand_readable(prepared, settings.skip_unreadable):
        warn(remark)
    images = [image for image in dataset.images if image.name in prepared.images]
    cached = [prepared.images[image.name] for image in images]
    images = with_joined_patients(images, find_twins(cached))
    device = device_of(settings.accelerator)
    outputs = [_outputs(path, cached, dataset.scheme, settings, device) for path in settings.sources]
    probabilities = np.mean([output[f"probabilities.{dataset.scheme.name}"] for output in outputs], axis=0)
    calibration = _calibration(settings.sources, dataset.scheme)
    collected = collect(dataset.scheme, images, probabilities, outputs[0]["theta"])
    predictions = with_intervals(collected, calibration, _fitted_on(settings.sources))
    parts = _parts(images, runs)
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for part, rows in parts.items():
        chosen = predictions.select(rows)
        chosen.save(out / f"predictions-{part}.json")
        results[part] = summarise(chosen, part)
        say(headline(chosen, part))
    shown = "test" if "test" in parts else next(iter(parts))
    rows = parts[shown]
    chosen_images, maps = [cached[row] for row in rows], _maps(outputs, dataset.scheme)[rows]
    first, embeddings = settings.sources[0], None
    lungs = partial(_bundle_lungs, first, settings.threads)
    if not is_bundle(first):
        network = load_network(first).to(device)
        embeddings = embed(network, chosen_images, dataset.scheme)
        lungs = partial(find_lungs, network)
    samples = report_samples(predictions.select(rows), chosen_images, maps, embeddings, lungs)
    samples.save(out / f"samples-{shown}.npz")
    metrics = {
        "task": "evaluation",
        "sources": [path.name for path in settings.sources],
        "data": [dataset.name],
        "scheme": dataset.scheme.name,
        "tta": list(settings.tta),
        "calibration": {dataset.scheme.name: calibration.model_dump(mode="json")},
        "results": results,
    }
    write_json(out / "metrics.json", metrics)
    write_atomically(out / "metrics.md", metrics_table(results))
    return metrics


def is_bundle(path: Path) -> bool:
    """A folder with a manifest, or a zip."""
    return (path / "manifest.yaml").is_file() or path.suffix == ".zip"


def metrics_table(results: dict[str, Any]) -> str:
    """One Markdown row per part; the head of each column names its decision, the cells hold 95 % intervals."""
    rows = {
        part: [m for m in measurements_of(found) if (m.measure, m.decision) in SHOWN] for part, found in results.items()
    }
    heads = [m.label() for m in next(iter(rows.values()))]
    lines = [f"| part | images | patients | {' | '.join(heads)} |", "|---" * (len(heads) + 3) + "|"]
    for part, found in results.items():
        cells = " | ".join(m.text() for m in rows[part])
        lines.append(f"| {part} | {found['images']} | {found['patients']} | {cells} |")
    cautions = dict.fromkeys(
        f"{part}: {m.label()}: {m.caution}" for part, row in rows.items() for m in row if m.caution
    )
    return "\n".join([*lines, *(f"\n{caution}." for caution in cautions)]) + "\n"


def _root_and_scheme(settings: EvaluateSettings, runs: Sequence[Run]) -> tuple[Path, str | None]:
    if settings.data is not None:
        return settings.data, settings.scheme
    if not runs:
        raise ConfigError("a bundle does not name a dataset: give its folder with --data DIR")
    own = runs[0].settings()
    root = own.get("data", {}).get("root")
    if root is None:
        raise ConfigError(f"{runs[0].path} does not say where its images are: give --data DIR")
    return Path(root), settings.scheme or own.get("scheme")


def _outputs(
    source: Path, images: Sequence[CachedImage], scheme: Scheme, settings: EvaluateSettings, device: torch.device
) -> Outputs:
    if is_bundle(source):
        outputs = _bundle_outputs(source, images, settings)
    else:
        outputs = _run_outputs(source, images, scheme, settings.tta, device)
    if f"probabilities.{scheme.name}" not in outputs:
        known = ", ".join(name.partition(".")[2] for name in outputs if name.startswith("probabilities."))
        raise ConfigError(f"{source} grades by {known}, the images are graded by {scheme.name}")
    return outputs


def _run_outputs(
    source: Path, images: Sequence[CachedImage], scheme: Scheme, tta: Sequence[str], device: torch.device
) -> Outputs:
    network = load_network(source).to(device)
    known = network.severity.scheme_heads
    if scheme.name not in known:
        raise ConfigError(f"{source} grades by {', '.join(known)}, the images are graded by {scheme.name}")
    return predict(network, images, [scheme], tta)


def _bundle_outputs(source: Path, images: Sequence[CachedImage], settings: EvaluateSettings) -> Outputs:
    from lungsev.bundle.archive import read_bundle
    from lungsev.inference.select import DeviceOptions, open_backend

    if settings.tta:
        raise ConfigError("test-time augmentation needs the network of a run; a bundle holds one fixed graph")
    collected: dict[str, list[Any]] = {}
    with open_backend(read_bundle(source), threads=settings.threads, options=DeviceOptions(wait=True)) as backend:
        for image in track(images, f"Scoring images by {source.name}", len(images)):
            for name, value in backend.infer(image.canvas()[None, None]).items():
                if name != "lung_mask":
                    collected.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in collected.items()}


def _bundle_lungs(source: Path, threads: int | None, images: Sequence[CachedImage]) -> Any:
    """Lung masks, 0-255: [N, M, M]."""
    from lungsev.bundle.archive import read_bundle
    from lungsev.inference.select import DeviceOptions, open_backend

    with open_backend(read_bundle(source), threads=threads, options=DeviceOptions(wait=True)) as backend:
        masks = [backend.infer(image.canvas()[None, None])["lung_mask"][0, 0] for image in images]
    return (np.stack(masks) * 255).round().astype(np.uint8)


def _maps(outputs: Sequence[Outputs], scheme: Scheme) -> Any:
    return np.mean([output[map_name(scheme)] for output in outputs], axis=0)


def _calibration(sources: Sequence[Path], scheme: Scheme) -> Calibration:
    """Of the first source; the margin of a single network is no promise for an ensemble's."""
    first = sources[0]
    if is_bundle(first):
        from lungsev.bundle.archive import read_bundle

        stated = read_bundle(first).manifest.scheme_calibration(scheme.name)
    else:
        stated = Calibration.model_validate(Run(first).metrics().get("calibration", {}).get(scheme.name, {}))
    return stated if len(sources) == 1 else stated.model_copy(update={"interval_margin": None})


def _fitted_on(sources: Sequence[Path]) -> str:
    """Name the part that the first source was calibrated on; its images are no test of that. Empty of a bundle."""
    if is_bundle(sources[0]):
        return ""
    return str(Run(sources[0]).metrics().get("calibration_fitted_on", "")).removesuffix(" part")


def _parts(images: Sequence[GradedImage], runs: Sequence[Run]) -> dict[str, list[int]]:
    """Rows by part. What any run trained on, and other images of those patients, is never called test."""
    splits = [Split.load(run.splits) for run in runs if run.splits.is_file()]
    if not splits:
        warn("a bundle does not name the images it was trained on: if these are among them, the numbers are too good")
        return {"test": list(range(len(images)))}
    trained = {
        name
        for split in splits
        for part in ("train", "validation", "calibration")
        for name in split.parts.get(part, ())
    }
    patients = {image.patient for image in images if image.name in trained}
    parts: dict[str, list[int]] = {}
    stated = {name: part for name_part in [splits[0].parts] for part, names in name_part.items() for name in names}
    for row, image in enumerate(images):
        part = stated.get(image.name)
        if part is None or (part == "test" and image.name in trained):
            part = "train" if image.patient in patients else "test"
        parts.setdefault(part, []).append(row)
    if "test" not in parts and "consensus" not in parts:
        warn("every image, or another image of its patient, was trained on: these numbers say nothing of new images")
    return parts


def default_folder(settings: EvaluateSettings) -> Path:
    """`evaluation/<dataset>` in the first run, or `runs/evaluate/<bundle>`."""
    name = settings.data.name if settings.data is not None else "own"
    first = settings.sources[0]
    if settings.data is not None and not settings.data.is_dir():
        raise LungsevError(f"{settings.data} does not exist, expected the folder of a dataset")
    return Path("runs/evaluate") / first.stem / name if is_bundle(first) else first / "evaluation" / name
