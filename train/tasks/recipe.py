"""`lungsev-train model`: runs all stages of the model that ships.

DIR/    a folder with lung masks (V7's, or images/ and masks/), the Cohen subset with Brixia scores, and what else the
        stages name: RALO, findings, places of opacity. What is not there is left out, and said so
runs/model/<time>/{segment,align,segment-all,align-all,trunk,copies,zones,self_training}/

Grades are measured with lungs found by networks that know nothing of the graded patients (segment, align). What
ships finds lungs with networks that learned from every mask (segment-all, align-all).

Without RALO there is nothing to train jointly: the backbone learns from labelled images (pretrain), and a soup of zones
alone ships (brixia).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from lungsev.train.console import say, warn
from lungsev.train.data.datasets.labelled import find_labelled
from lungsev.train.data.sources import find_dataset
from lungsev.train.fitting.finish import finish_run
from lungsev.train.fitting.progress import in_words
from lungsev.train.runs import Run, open_run
from lungsev.train.settings import Settings
from lungsev.train.tasks.alignment import AlignSettings, run_alignment
from lungsev.train.tasks.joint.run import run_joint
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.pretraining import PretrainSettings, run_pretraining
from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation
from lungsev.train.tasks.soup import SoupSettings, run_soup

MASK_LAYOUTS = ("v7", "lung_pairs", "montgomery", "shenzhen", "jsrt")
GRADE_LAYOUTS = ("brixia", "cohen")
JOINT = ("trunk", "copies", "zones", "self_training")  # in this order; the last that there is ships


class ModelSettings(Settings):
    """`lungsev-train model`: a section per stage. Where their data are is found below `data`."""

    data: Path | None = None
    cache: Path = Path("runs/cache")
    exclude_graded_patients: bool = True  # while measuring; False trains lungs once, on all images
    minutes: dict[str, float] = Field(
        default_factory=dict
    )  # that each stage took on two cores, to be told before it starts
    chests: tuple[Path, ...] = ()  # below `data`: as `segment.chests` has them
    segment: SegmentSettings = SegmentSettings()
    align: AlignSettings = AlignSettings()
    # {trunk}, {copies}, {zones} in `start` and `pseudo` are the runs of these stages
    trunk: JointSettings | None = None  # stage 1: how much and where, without a graded zone
    copies: JointSettings | None = None  # copies of the trunk learn on, each by itself; their weights are averaged
    zones: JointSettings | None = None  # stage 2: zones in folds, the other sources in every batch
    self_training: JointSettings | None = None  # stage 3: zones, and grades that stage 2 gave
    pretrain: PretrainSettings = PretrainSettings()  # this and severity: where a joint stage lacks its first source
    severity: SoupSettings = SoupSettings()


def run_model(settings: ModelSettings, run: Run) -> dict[str, Any]:
    """Run each stage that is not finished yet, in its own run folder; return the metrics of all.

    Raises:
        DatasetError: `data` lacks lung masks or graded images.
    """
    root = settings.data if settings.data is not None else Path(".")
    recipe = _Recipe(settings, run, root)
    asked = [name for name in JOINT if getattr(settings, name) is not None]
    stages = {name: stage for name in asked if (stage := recipe.joint_stage(name)) is not None}
    if settings.minutes:
        lines = [f"{name} {in_words(60 * minutes)}" for name, minutes in settings.minutes.items()]
        say(f"On two cores: {', '.join(lines)}; start a stopped run again to continue it")
    alignment = recipe.find_lungs("", recipe.excluded)
    shipped = recipe.find_lungs("-all", None) if recipe.excluded is not None else alignment
    if stages and list(stages) == asked:  # each builds on the one before
        for name, stage in stages.items():
            recipe.run(name, stage.model_copy(update={"alignment": alignment, "final_alignment": shipped}), run_joint)
        last = list(stages)[-1]
    else:
        recipe.run_soup(alignment, shipped if recipe.excluded is not None else None)
        last = "brixia"
    metrics = {"task": "model", "stages": recipe.results, "shipped": last}
    finish_run(run, metrics)
    say(f"The severity run to export: {run.path / last}")
    return metrics


@dataclass
class _Recipe:
    """The stages of one run, and where their data are."""

    settings: ModelSettings
    run_folder: Run
    root: Path
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.masks, self.mask_layout = find_dataset(self.root, "lungs", MASK_LAYOUTS)
        self.grades, self.grade_layout = find_dataset(self.root, "severity", GRADE_LAYOUTS)
        say(f"Lung masks: {self.masks} ({self.mask_layout.name}); grades: {self.grades} ({self.grade_layout.name})")
        self.excluded = self.grades if self.settings.exclude_graded_patients else None

    def run(self, name: str, settings: Any, work: Any) -> None:
        """Run a stage, unless it is finished, and say how long it took."""
        started = time.perf_counter()
        done = Run(self.run_folder.path / name).is_finished
        self.results[name] = run_stage(self.run_folder, name, settings, work)
        if not done:
            say(f"Stage {name} took {in_words(time.perf_counter() - started)} from its start or continuation")

    def find_lungs(self, ending: str, excluded: Path | None) -> Path:
        """Train segmentation and alignment; return the run that holds both."""
        folder, cache, layout = self.run_folder.path, self.settings.cache, self.mask_layout.name
        segment = _with_data(self.settings.segment, self.masks, layout, cache, excluded)
        chests = tuple(self.root / chest for chest in self.settings.chests if (self.root / chest).is_dir())
        segment = segment.model_copy(update={"chests": chests})
        self.run(f"segment{ending}", segment, run_segmentation)
        align = _with_data(self.settings.align, self.masks, layout, cache, excluded)
        align = align.model_copy(update={"segmentation": folder / f"segment{ending}"})
        self.run(f"align{ending}", align, run_alignment)
        return folder / f"align{ending}"

    def joint_stage(self, name: str) -> JointSettings | None:
        """Return a stage with the sources that are there; None where it lacks its first."""
        stage: JointSettings = getattr(self.settings, name)
        there = tuple(source for source in stage.sources if (self.root / source.root).is_dir())
        missing = [source.key for source in stage.sources if source not in there]
        if stage.sources[0] not in there:
            warn(f"stage {name} is left out: there is no {stage.sources[0].root} below {self.root}")
            return None
        if missing:
            warn(f"stage {name} goes without {', '.join(missing)}, which is not below {self.root}")
        stage = stage.model_copy(update={"data": self.root, "cache": self.settings.cache, "sources": there})
        for earlier in JOINT:
            stage = stage.replacing(f"{{{earlier}}}", str(self.run_folder.path / earlier))
        return stage

    def run_soup(self, alignment: Path, shipped: Path | None) -> None:
        """Pre-train on labelled images where there are some, then train the soup of zones alone."""
        cache = self.settings.cache
        severity = _with_data(self.settings.severity, self.grades, self.grade_layout.name, cache)
        severity = severity.model_copy(update={"alignment": alignment, "final_alignment": shipped})
        labelled = find_labelled(self.root)
        if labelled is None:
            warn(f"no labels.csv below {self.root}: the backbone stays as ImageNet left it, and grades less well")
        else:
            pretrain = _with_data(self.settings.pretrain, labelled, None, cache, self.excluded)
            pretrain = pretrain.model_copy(update={"alignment": alignment, "lungs": self.masks})
            self.run("pretrain", pretrain, run_pretraining)
            weights = self.run_folder.path / "pretrain" / "network.pt"
            initial = severity.initial.model_copy(update={"encoder_weights": weights})
            severity = severity.model_copy(update={"initial": initial})
        self.run("brixia", severity, run_soup)


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
