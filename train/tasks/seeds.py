"""Several seeds of one recipe: a run per seed, then their mean and two sources of variance.

Seeds differ in the order of images, in augmentation and in the heads' first weights; the split, which has a seed of its
own, is the same, so that what differs between them is training and what differs between resampled patients is the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lungsev.train.console import is_main_process, say
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.summary import headline, summarise
from lungsev.train.fitting.finish import finish_run
from lungsev.train.runs import Run, open_run

if TYPE_CHECKING:
    from lungsev.train.tasks.severity import SeverityRunSettings


def run_seeds(
    settings: SeverityRunSettings, run: Run, train: Callable[[SeverityRunSettings, Run], dict[str, Any]]
) -> dict[str, Any]:
    """Train each seed that is not finished yet, then measure them together.

    Leaves `seed-<k>/` run folders and metrics.json, whose results are means over seeds.

    Args:
        settings: With the number of seeds, which count from `loop.seed`.
        run: Holds the seeds' folders.
        train: Trains one of them, of settings without further seeds.
    """
    folders = [Run(run.path / f"seed-{number}") for number in range(settings.seeds)]
    for number, folder in enumerate(folders):
        if not folder.is_finished:
            say(f"Seed {number + 1} of {settings.seeds}")
            own = of_seed(settings, number)
            train(own, open_run("", own, out=folder.path))
    if not is_main_process():
        return {}
    first = folders[0].metrics()
    by_part = {part: [_predictions(folder, part) for folder in folders] for part in first["results"]}
    for part, seeds in by_part.items():
        say(f"Mean of {len(folders)} seeds ± their standard deviation, {headline(seeds, part)}")
    metrics = {
        **{key: first[key] for key in ("task", "data", "scheme", "split", "calibration_fitted_on")},
        "seeds": [folder.path.name for folder in folders],
        "results": {part: summarise(seeds, part) for part, seeds in by_part.items()},
    }
    finish_run(run, metrics)
    return metrics


def of_seed(settings: SeverityRunSettings, number: int) -> SeverityRunSettings:
    """Return the settings of one of several seeds."""
    loop = settings.loop.model_copy(update={"seed": settings.loop.seed + number})
    return settings.model_copy(update={"loop": loop, "seeds": 1})


def _predictions(folder: Run, part: str) -> Predictions:
    return Predictions.load(folder.path / f"predictions-{part}.json")
