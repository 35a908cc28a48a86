"""What an ensemble says of the training images, for distilling it into one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import load_network
from lungsev.schemes import Scheme
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.datasets import GradedImage
from lungsev.train.evaluation.inference import predict


def teacher_probabilities(
    runs: Sequence[Path], scheme: Scheme, images: Sequence[GradedImage], cached: Mapping[str, CachedImage]
) -> npt.NDArray[np.float32]:
    """Mean probabilities of several severity runs, float32 [N, R, G].

    Raises:
        ConfigError: A run does not grade by this scheme.
    """
    canvases = [cached[image.name] for image in images]
    said = []
    for run in runs:
        outputs = predict(load_network(run), canvases, title=f"Asking teacher {run.name}")
        if f"probabilities.{scheme.name}" not in outputs:
            raise ConfigError(f"teacher {run} does not grade by {scheme.name}")
        said.append(outputs[f"probabilities.{scheme.name}"])
    return np.mean(said, axis=0).astype(np.float32)
