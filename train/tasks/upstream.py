"""`--lungs DIR`: segmentation and alignment upstream of a severity command, trained first where needed.

Of several processes (torchrun) the main one trains them by itself; the others wait until they are there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lungsev.config import load_model
from lungsev.phantom import write_dataset
from lungsev.system import atomic_folder
from lungsev.train.configs import built_in_or_path, read_config
from lungsev.train.console import is_main_process, progress_of, say
from lungsev.train.fitting.distributed import one_process_alone
from lungsev.train.runs import DEFAULT_ROOT, finished_like, open_run
from lungsev.train.settings import Settings
from lungsev.train.tasks.alignment import AlignSettings, run_alignment
from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation

SYNTHETIC = "synthetic"  # in place of a folder: phantom images that are made for it
SYNTHETIC_IMAGES = 80
POLL_S = 1.0


class UpstreamSettings(Settings):
    """Both stages; their data.root is the folder of lung masks."""

    segment: SegmentSettings = SegmentSettings()
    align: AlignSettings = AlignSettings()


def upstream_alignment(
    lungs: str, stages_of: dict[str, Any] | None = None, cache: Path | None = None, workers: int | None = None
) -> Path:
    """Return the finished alignment run of a folder of lung masks, or of synthetic ones; train it if there is none.

    Args:
        lungs: The folder, or `synthetic`.
        stages_of: Settings of `segment` and `align`; None: those of lungs.yaml. Synthetic ones have their own.
        cache: Of the command they are trained for; None: that of the stages.
        workers: As `cache`.

    Raises:
        DatasetError: The folder holds no lung masks.
    """
    path = built_in_or_path("trial" if lungs == SYNTHETIC else "lungs")
    given = None if lungs == SYNTHETIC else stages_of
    stages = load_model(UpstreamSettings, path, None, lambda path: given or _read_stages(path))
    root = _synthetic_images() if lungs == SYNTHETIC else Path(lungs)
    data = {"root": root, "cache": cache, "workers": workers}
    segmentation = _stage("segment", _on(stages.segment, data), run_segmentation)
    align = _on(stages.align, data).model_copy(update={"segmentation": segmentation})
    return _stage("align", align, run_alignment)


def _read_stages(path: Path) -> dict[str, Any]:
    document = read_config(path)
    return {name: document[name] for name in UpstreamSettings.model_fields}


def _synthetic_images() -> Path:
    root = DEFAULT_ROOT / "cache" / "synthetic-lungs"
    if not root.is_dir() and is_main_process():
        root.parent.mkdir(parents=True, exist_ok=True)
        say("Segmentation and alignment train on synthetic images, enough for a trial; for real ones give --lungs DIR")
        with progress_of("Making images", SYNTHETIC_IMAGES) as advance, atomic_folder(root) as folder:
            write_dataset(folder, "lungs", SYNTHETIC_IMAGES, 0, advance)
    return root


def _on(settings: Any, data: dict[str, Any]) -> Any:
    stated = {key: value for key, value in data.items() if value is not None}
    return settings.model_copy(update={"data": settings.data.model_copy(update=stated)})


def _stage(command: str, settings: Any, work: Any) -> Path:
    known = finished_like(command, settings)
    while known is None and not is_main_process():
        time.sleep(POLL_S)  # if the main process fails, torchrun ends this one
        known = finished_like(command, settings)
    if known is not None:
        known.remove_checkpoints()
        return known.path
    with one_process_alone():
        run = open_run(command, settings)
        work(settings, run)
    return run.path
