"""`lungsev-train joint`: one trunk learns from several datasets at once, with a head for each scheme.

Zones of a hundred images say where, extent and opacity of thousands say how much, outlines and findings what to look
at: each image is taught what is known of it. Schemes of one lung tie those of its zones.

With `fold: all` one network per fold measures the sources that are in folds, then one learns from all of them: the
predictions out of fold calibrate it, and it is what ships.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import torch

from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import load_network, read_network, save_checkpoint
from lungsev.networks.settings import FusedSettings
from lungsev.schemes import load_scheme
from lungsev.system import atomic_file
from lungsev.train.console import is_main_process, say
from lungsev.train.data.preparation import upstream_run
from lungsev.train.data.splits import Split
from lungsev.train.data.stated_splits import DEFAULT_FOLDS
from lungsev.train.evaluation.predictions import Predictions, collect
from lungsev.train.fitting.finish import finish_run
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.joint.measure import (
    calibrated_folds,
    describe,
    held_back,
    measure_schemes,
    plain_path,
    predict_crops,
    predictions_path,
    with_main,
)
from lungsev.train.tasks.joint.settings import FOLD, JointSettings
from lungsev.train.tasks.joint.targets import grades_name
from lungsev.train.tasks.joint.training import EXTRAS, Lessons, prepare, train
from lungsev.train.tasks.soup import earlier_stages


def resolve(settings: JointSettings) -> JointSettings:
    """Name the run that the settings build on, so that a resumed run builds on the same."""
    return settings.model_copy(update={"alignment": upstream_run(settings.alignment, "align")})


def run_joint(settings: JointSettings, run: Run) -> dict[str, Any]:
    """Train, measure every scheme on what was held back of it; leave network.pt, predictions and metrics.json.

    Raises:
        ConfigError: An earlier stage is missing, or the settings do not fit each other.
        DatasetError: A source cannot be read.
    """
    if settings.fold == "all":
        return _run_folds(settings, run)
    lessons = prepare(settings, run)
    learner = train(lessons, run)
    if not is_main_process():
        return {}
    network = learner.severity
    found = held_back(network, lessons.sources, lessons.crops, lessons.thetas, lessons.schemes)
    metrics = {
        "task": "severity",
        **earlier_stages([s.key for s in lessons.sources if s.settings.share], settings.alignment, None),
        **measure_schemes(network, found, first_readers(settings), settings.calibration, run.path),
        "split": _split_of(lessons, run),
    }
    _grade_tied(network, lessons, run)
    with atomic_file(run.path / EXTRAS) as file:
        torch.save({name: value.cpu() for name, value in learner.extras().items()}, file)
    normalizer, own = lessons.normalizer, lessons.settings.network
    fused_settings = FusedSettings(
        segmentation=normalizer.segmentation_settings, alignment=normalizer.alignment_settings, severity=own
    )
    save_checkpoint(run.path, fused_settings, normalizer.fuse(network, own))
    finish_run(run, metrics)
    return metrics


def _run_folds(settings: JointSettings, run: Run) -> dict[str, Any]:
    """Train each fold that is not finished yet, then what ships; measure the images of all test parts together."""
    in_folds = [source for source in settings.sources if source.split.protocol == "kfold"]
    counts = {source.split.folds or DEFAULT_FOLDS for source in in_folds}
    if len(counts) != 1:
        raise ConfigError(
            "fold: all needs sources whose split.protocol is kfold, with one number of folds; "
            f"found {', '.join(map(str, sorted(counts))) or 'no such source'}"
        )
    folds = [f"fold-{fold}" for fold in range(counts.pop())]
    for fold, name in enumerate(folds):
        say(f"Fold {fold + 1} of {len(folds)}")
        _stage(settings.replacing(FOLD, name).model_copy(update={"fold": fold}), Run(run.path / name))
    shipped = Run(run.path / "all")
    last = _stage(_of_everyone(settings), shipped)
    if not is_main_process():
        return {}
    schemes = [load_scheme(name).name for source in in_folds for name in source.schemes]
    fused_settings, _ = read_network(shipped.path, FusedSettings)
    network = load_network(shipped.path)
    main = schemes[0]
    metrics: dict[str, Any] = {**last, "scheme": main, "folds": folds}
    for name in dict.fromkeys(schemes):
        parts = [Predictions.load(plain_path(run.path / fold, "test", name)) for fold in folds]
        first_reader = first_readers(settings).get(name)
        fitted, fitted_on, shown = calibrated_folds(parts, settings.calibration, first_reader)
        network.severity.set_temperature(name, fitted.temperature)
        metrics["calibration"][name] = fitted.stated.model_dump(mode="json")
        metrics["temperature"][name] = fitted.temperature
        described = describe(shown, fitted_on, run.path, main)
        metrics["schemes"][name] = {**described, "first_reader": first_reader}
    for name in last["schemes"]:
        if name not in schemes:
            shutil.copyfile(
                predictions_path(shipped.path, "test", name, last["scheme"]),
                predictions_path(run.path, "test", name, main),
            )
    metrics = with_main(metrics)
    Split.load(shipped.splits).save(run.splits)
    save_checkpoint(run.path, fused_settings, network)
    finish_run(run, metrics)
    return metrics


def _of_everyone(settings: JointSettings) -> JointSettings:
    """Return the settings of what ships: every image of the sources in folds trains."""
    everyone = [
        source.model_copy(update={"split": source.split.model_copy(update={"protocol": "all", "validation": 0.0})})
        if source.split.protocol == "kfold"
        else source
        for source in settings.sources
    ]
    alignment = settings.final_alignment or settings.alignment
    update = {"fold": None, "sources": tuple(everyone), "alignment": alignment, "final_alignment": None}
    return settings.model_copy(update=update).replacing(FOLD, "all")


def first_readers(settings: JointSettings) -> dict[str, float | None]:
    """Return the weight of the first reader of each scheme; None where all readers count alike."""
    return {load_scheme(name).name: source.first_reader for source in settings.sources for name in source.schemes}


def _stage(settings: JointSettings, folder: Run) -> dict[str, Any]:
    if folder.is_finished:
        say(f"{folder.path} is finished")
        return folder.metrics()
    return run_joint(settings, open_run("joint", settings, out=folder.path))


def _split_of(lessons: Lessons, run: Run) -> dict[str, Any]:
    """Keep the first source's split as the run's, and say the hash of each."""
    trained = [source.key for source in lessons.sources if source.settings.share]
    stated = {key: Split.load(run.path / "sources" / key / "splits.json") for key in trained}
    first = stated[trained[0]]
    first.save(run.splits)
    return {
        "protocol": "; ".join(f"{key}: {split.protocol}" for key, split in stated.items()),
        "sha256": first.sha256,
        "sources": {key: split.sha256 for key, split in stated.items()},
        "shared_patients": sum(split.shared_patients for split in stated.values()),
    }


def _grade_tied(network: Any, lessons: Lessons, run: Run) -> None:
    """Save what the network says of every image where the readers used other scores that a tie joins.

    Zones of the images whose lungs are graded are what self-training starts from; lungs of the images whose zones are
    graded are what the link can be fitted on.
    """
    tie = lessons.settings.tie
    if tie is None:
        return
    for source, own, theta in zip(lessons.sources, lessons.crops, lessons.thetas, strict=True):
        tied = {tie.scheme, tie.extent, tie.opacity} & set(lessons.schemes)
        wanted = sorted(tied - set(source.graded))
        if not tied & set(source.graded) or not wanted:
            continue
        rows = list(range(len(source.images)))
        graded = predict_crops(network, own, rows, f"Grading {source.key} by {', '.join(wanted)}")
        images = [replace(image, readings={}) for image in source.images]
        for name in wanted:
            predictions = collect(lessons.schemes[name], images, graded[name], theta)
            predictions.save(run.path / grades_name(source.key, name))
