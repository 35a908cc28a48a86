"""The row without a network: ridge regression on a few numbers of each region, on the folds of the other rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.grading import Calibration
from lungsev.schemes import Scheme
from lungsev.train.data.datasets import GradedImage
from lungsev.train.data.preparation import ready_images, upstream_run
from lungsev.train.data.sampling import crop
from lungsev.train.data.splits import Split
from lungsev.train.data.stated_splits import each_fold, make_split
from lungsev.train.evaluation.baseline import region_features, ridge_scores
from lungsev.train.evaluation.calibration import with_intervals
from lungsev.train.evaluation.predictions import Predictions, collect, join
from lungsev.train.evaluation.summary import summarise
from lungsev.train.fitting.device import device_of
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.losses import target_distribution
from lungsev.train.runs import Run
from lungsev.train.tasks.severity import SeverityRunSettings, load_dataset
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, image_thetas


def run_handcrafted(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Fit and measure; leave predictions-test.json and metrics.json. There is no network to export.

    Raises:
        ConfigError: An earlier stage is missing.
        DatasetError: The folder is no dataset of graded images, or an image cannot be read.
    """
    dataset = load_dataset(settings)
    normalizer = SpatialNormalizer.load(upstream_run(settings.alignment, "align"), device_of(settings.loop.accelerator))
    images, prepared = ready_images(dataset.images, settings.data)
    cached = [prepared[image.name] for image in images]
    thetas = image_thetas(normalizer, cached, settings.data.cache)
    crops = [crop(image.canvas(), theta, settings.network) for image, theta in zip(cached, thetas, strict=True)]
    features = np.stack([region_features(one, dataset.scheme) for one in crops])
    splits = _splits(images, settings)
    parts = [_measured(split, features, images, thetas, dataset.scheme) for split in splits]
    calibration = Calibration(decision=settings.calibration.decision, coverage=settings.calibration.coverage)
    predictions = with_intervals(join(parts), calibration, "")
    predictions.save(run.path / "predictions-test.json")
    metrics = {
        "task": "severity",
        "data": [dataset.name],
        "scheme": dataset.scheme.name,
        "split": {
            "protocol": splits[0].protocol.partition(" fold")[0],
            "sha256": [split.sha256 for split in splits],
            "shared_patients": sum(split.shared_patients for split in splits),
        },
        "calibration": {dataset.scheme.name: calibration.model_dump(mode="json")},
        "results": {"test": summarise(predictions, "test")},
    }
    finish_run(run, metrics)
    return metrics


def _splits(images: list[GradedImage], settings: SeverityRunSettings) -> list[Split]:
    split = settings.data.split
    folds = each_fold(images, split) if split.fold == "all" else [split]
    return [make_split(images, fold)[0] for fold in folds]


def _measured(
    split: Split,
    features: npt.NDArray[np.float64],
    images: list[GradedImage],
    thetas: npt.NDArray[np.float64],
    scheme: Scheme,
) -> Predictions:
    """Scores of a split's test part, each as the distribution over the two grades beside it that has it as its mean."""
    row_of = {image.name: row for row, image in enumerate(images)}
    train, test = ([row_of[name] for name in split.parts.get(part, ())] for part in ("train", "test"))
    reference = np.array([image.reference for image in images])
    scores = ridge_scores(features, reference, train, test)
    probabilities = np.stack([target_distribution([row], scheme.grades) for row in scores])
    return collect(scheme, [images[row] for row in test], probabilities, thetas[test])
