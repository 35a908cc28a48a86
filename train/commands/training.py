"""The commands that train: one stage each, or all stages of the model that ships."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from lungsev.train.commands.options import (
    AlignedOptions,
    CustomOptions,
    GradingOptions,
    InhaOptions,
    JointOptions,
    ModelOptions,
    StageOptions,
    TrainOptions,
    command,
)

if TYPE_CHECKING:
    from lungsev.train.runs import Run
    from lungsev.train.settings import Settings
    from lungsev.train.tasks.severity import SeverityRunSettings

app = typer.Typer()
AnySettings = TypeVar("AnySettings", bound="Settings")


@command(app)
def segment(options: TrainOptions) -> None:
    """Find the lungs: U-Net++ on images with lung masks.

    Example: lungsev-train segment --data ../shared/cxr/lung-masks --epochs 30
    """
    from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation

    _train("segment", SegmentSettings, run_segmentation, options)


@command(app)
def align(options: TrainOptions) -> None:
    """Learn where the aligned frame is, from masks; builds on the newest segmentation run.

    Example: lungsev-train align --data ../shared/cxr/lung-masks
    """
    from lungsev.train.tasks.alignment import AlignSettings, resolve, run_alignment

    _train("align", AlignSettings, run_alignment, options, resolve)


@command(app)
def brixia(options: GradingOptions) -> None:
    """Grade the six zones of the Brixia score, on BrixIA or the Cohen subset.

    Example: lungsev-train brixia --data ../shared/cxr/brixia-cohen --lungs ../shared/cxr/lung-masks --fold all
    """
    _train_grades("brixia", options)


@command(app)
def inha(options: InhaOptions) -> None:
    """Grade the four quadrants of the Inha ICU score (1-5).

    Example: lungsev-train inha --data inha/ --config inha/linear_probe_resnet34
    """
    _train_grades("inha", options)


@command(app)
def custom(options: CustomOptions) -> None:
    """Grade by any scheme: a CSV with one column per region, and a YAML file with the regions' boxes.

    Example: lungsev-train custom --data mine/ --scheme mine/scheme.yaml
    """
    _train_grades("custom", options)


@command(app)
def pretrain(options: AlignedOptions) -> None:
    """Teach the backbone from images with one label each: labels.csv beside images/.

    Example: lungsev-train pretrain --data ../shared/cxr/pneumonia-224
    """
    from lungsev.train.tasks.pretraining import PretrainSettings, resolve, run_pretraining

    _train("pretrain", PretrainSettings, run_pretraining, options, resolve)


@command(app)
def soup(options: AlignedOptions) -> None:
    """Grade few images well: cross-validate, then average the weights of copies trained on all images.

    Example: lungsev-train soup --data ../shared/cxr/brixia-cohen --set initial.encoder_weights=runs/pretrain/RUN
    """
    from lungsev.train.tasks.severity import resolve
    from lungsev.train.tasks.soup import SoupSettings, run_soup

    _train("soup", SoupSettings, run_soup, options, resolve)


@command(app)
def joint(options: JointOptions) -> None:
    """Train one network on several datasets at once, by the scores of each: the sources are in the config.

    Example: lungsev-train joint --data ../shared/cxr --config joint/trunk
    """
    from lungsev.train.tasks.joint.run import resolve, run_joint
    from lungsev.train.tasks.joint.settings import JointSettings

    _train("joint", JointSettings, run_joint, options, resolve)


@command(app)
def model(options: ModelOptions) -> None:
    """Train the model that ships, all stages in one go, from a folder that holds lung masks and the Cohen subset.

    Example: lungsev-train model --data ../shared/cxr
    """
    from lungsev.train.tasks.recipe import ModelSettings, run_model

    _train("model", ModelSettings, run_model, options)


def _train_grades(name: str, options: GradingOptions) -> None:
    from lungsev.train.console import is_main_process, say
    from lungsev.train.evaluation.reporting import write_report
    from lungsev.train.tasks.cross_validation import run_grading
    from lungsev.train.tasks.severity import SeverityRunSettings, resolve

    def work(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        metrics = run_grading(settings, run)
        if is_main_process():
            say(f"Report: {write_report([run.path], run.path / 'report', f'{run.path.name}, {name}')}")
        return metrics

    _train(name, SeverityRunSettings, work, options, resolve)


def _train(
    name: str,
    model: type[AnySettings],
    work: Callable[[Any, Any], dict[str, Any]],
    options: StageOptions,
    resolve: Callable[[Any], Any] = lambda settings: settings,
) -> None:
    """Make settings of config and options, open a run folder, do the work, print the metrics."""
    from lungsev.train.console import print_json, say
    from lungsev.train.runs import open_run, settings_of
    from lungsev.train.threads import use_threads

    use_threads(options.threads)
    if options.resume is not None:
        settings = settings_of(options.resume, model)
    else:
        settings = _settings(name, model, options, resolve)
    loop = getattr(settings, "loop", None)
    use_threads(options.threads or (loop and loop.threads))
    run = open_run(name, settings, options.out, options.resume, options.fresh)
    metrics = work(settings, run)
    say(f"Done: {run.path}")
    if options.as_json:
        print_json({"run": str(run.path), **metrics})


def _settings(name: str, model: type[AnySettings], options: StageOptions, resolve: Callable[[Any], Any]) -> AnySettings:
    """Apply explicit options over the config over the defaults, and name the runs that are built on."""
    from lungsev.config import load_model, parse_assignments
    from lungsev.train.configs import built_in_or_path, default_config, read_config

    given = {key: value for key, value in options.overrides().items() if value is not None}
    path = built_in_or_path(options.config) if options.config is not None else default_config(name)
    settings: AnySettings = load_model(model, path, {**parse_assignments(options.assign or []), **given}, read_config)
    if isinstance(options, AlignedOptions) and options.lungs is not None:
        from lungsev.train.tasks.upstream import upstream_alignment

        data: Any = getattr(settings, "data", None)
        own: Any = data if hasattr(data, "cache") else settings  # a joint training has cache and workers of its own
        alignment = upstream_alignment(options.lungs, cache=own.cache, workers=own.workers)
        settings = settings.model_copy(update={"alignment": alignment})
    return resolve(settings)  # type: ignore[no-any-return]
