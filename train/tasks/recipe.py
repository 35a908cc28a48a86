"""`lungsev-train model`: runs all stages of the model that ships.

DIR/    a folder with lung masks (V7's, or images/ and masks/), the Cohen subset with Brixia scores, and, if it is
        there, a folder of images with one label each (labels.csv)
runs/model/<time>/{segment,align,pretrain,segment-all,align-all,brixia}/

Grades are measured with lungs found by networks that know nothing of the graded patients (segment, align). What
ships finds lungs with networks that learned from every mask (segment-all, align-all).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lungsev.train.console import say, warn
from lungsev.train.data.datasets.labelled import find_labelled
from lungsev.train.data.sources import find_dataset
from lungsev.train.fitting.finish import finish_run
from lungsev.train.runs import Run, open_run
from lungsev.train.settings import Settings
from lungsev.train.tasks.alignment import AlignSettings, run_alignment
from lungsev.train.tasks.pretraining import PretrainSettings, run_pretraining
from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation
from lungsev.train.tasks.soup import SoupSettings, run_soup

MASK_LAYOUTS = ("v7", "lung_pairs", "montgomery", "shenzhen", "jsrt")
GRADE_LAYOUTS = ("brixia", "cohen")


class ModelSettings(Settings):
    """`lungsev-train model`: a section per stage. Their data.root is found below `data`."""

    data: Path | None = None
    cache: Path = Path("runs/cache")
    exclude_graded_patients: bool = True  # while measuring; False trains lungs once, on all images
    segment: SegmentSettings = SegmentSettings()
    align: AlignSettings = AlignSettings()
    pretrain: PretrainSettings = PretrainSettings()
    severity: SoupSettings = SoupSettings()


def run_model(settings: ModelSettings, run: Run) -> dict[str, Any]:
    """Run each stage that is not finished yet, in its own run folder; return the metrics of all.

    Raises:
        DatasetError: `data` lacks lung masks or graded images.
    """
    root = settings.data if settings.data is not None else Path(".")
    masks, mask_layout = find_dataset(root, "lungs", MASK_LAYOUTS)
    grades, grade_layout = find_dataset(root, "severity", GRADE_LAYOUTS)
    say("This takes about three hours on two cores, minutes on a GPU; start a stopped run again to continue it")
    say(f"Lung masks: {masks} ({mask_layout.name}); grades: {grades} ({grade_layout.name})")
    excluded = grades if settings.exclude_graded_patients else None
    results: dict[str, Any] = {}

    def find_lungs(ending: str, excluded: Path | None) -> Path:
        segment = _with_data(settings.segment, masks, mask_layout.name, settings.cache, excluded)
        results[f"segment{ending}"] = run_stage(run, f"segment{ending}", segment, run_segmentation)
        align = _with_data(settings.align, masks, mask_layout.name, settings.cache, excluded)
        align = align.model_copy(update={"segmentation": run.path / f"segment{ending}"})
        results[f"align{ending}"] = run_stage(run, f"align{ending}", align, run_alignment)
        return run.path / f"align{ending}"

    alignment = find_lungs("", excluded)
    severity = _with_data(settings.severity, grades, grade_layout.name, settings.cache)
    severity = severity.model_copy(update={"alignment": alignment})
    labelled = find_labelled(root)
    if labelled is None:
        warn(f"no labels.csv below {root}: the backbone stays as ImageNet left it, and grades less well")
    else:
        pretrain = _with_data(settings.pretrain, labelled, None, settings.cache, excluded)
        pretrain = pretrain.model_copy(update={"alignment": alignment, "lungs": masks})
        results["pretrain"] = run_stage(run, "pretrain", pretrain, run_pretraining)
        initial = severity.initial.model_copy(update={"encoder_weights": run.path / "pretrain" / "network.pt"})
        severity = severity.model_copy(update={"initial": initial})
    if excluded is not None:
        severity = severity.model_copy(update={"final_alignment": find_lungs("-all", None)})
    results["brixia"] = run_stage(run, "brixia", severity, run_soup)
    metrics = {"task": "model", "stages": results}
    finish_run(run, metrics)
    say(f"The severity run to export: {run.path / 'brixia'}")
    return metrics


def _with_data(settings: Any, root: Path, layout: str | None, cache: Path, excluded: Path | None = None) -> Any:
    update = {"root": root, "layout": layout, "cache": cache, "exclude_patients_of": excluded}
    data = settings.data.model_copy(update=update)
    return settings.model_copy(update={"data": data})


def run_stage(run: Run, name: str, settings: Any, work: Any) -> dict[str, Any]:
    """Run a stage into a folder of its own in `run`, unless it is finished there; return its metrics."""
    stage = Run(run.path / name)
    if stage.is_finished:
        say(f"Stage {name} is finished: {stage.path}")
        stage.remove_checkpoints()
        return stage.metrics()
    return dict(work(settings, open_run(name, settings, out=stage.path)))
