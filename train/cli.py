"""`lungsev-train`: what a researcher types. Heavy imports stay inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from lungsev.errors import LungsevError

if TYPE_CHECKING:
    from lungsev.train.runs import Run
    from lungsev.train.settings import Settings

app = typer.Typer(
    name="lungsev-train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train networks that grade pneumonia region by region. Stages: segment, align, then brixia, inha or custom.",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at a dataset, or make a synthetic one.")
app.add_typer(data_app, name="data")

Lungs = Annotated[
    str | None,
    typer.Option("--lungs", help="Folder of lung masks to train the earlier stages from; `drawn` for a trial."),
]
Data = Annotated[Path | None, typer.Option("--data", "-d", help="Folder of the dataset, as it was published.")]
Config = Annotated[
    str | None, typer.Option("--config", "-c", help="YAML file, or the name of a built-in config (configs/train).")
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<command>/<time>.")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of training (the split has its own).")]
Resume = Annotated[Path | None, typer.Option("--resume", help="Continue this unfinished run, with its own settings.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Do not continue an unfinished run of the same settings.")]
Assign = Annotated[list[str] | None, typer.Option("--set", help="Any setting, as loop.batch_size=8; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON; words for people go to standard error.")]


@app.command()
def segment(
    data: Data = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Find the lungs: U-Net++ on images with lung masks.

    Example: lungsev-train segment --data ../shared/cxr/lung-masks --epochs 30
    """
    from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation

    _train("segment", SegmentSettings, run_segmentation, locals())


@app.command()
def align(
    data: Data = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Learn where the lungs' frame lies, from masks; builds on the newest segmentation run.

    Example: lungsev-train align --data ../shared/cxr/lung-masks
    """
    from lungsev.train.tasks.alignment import AlignSettings, resolve, run_alignment

    _train("align", AlignSettings, run_alignment, locals(), resolve)


Scheme = Annotated[str | None, typer.Option("--scheme", help="Score scheme: a built-in name or a YAML file.")]
Fold = Annotated[str | None, typer.Option("--fold", help="Fold of protocol kfold: 0, 1, ... or all.")]
Protocol = Annotated[str | None, typer.Option("--protocol", help="pafe, leak_free, kfold, holdout or all.")]


@app.command()
def brixia(
    data: Data = None,
    lungs: Lungs = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    protocol: Protocol = None,
    fold: Fold = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Grade the six zones of the Brixia score, on BrixIA or the Cohen subset.

    Example: lungsev-train brixia --data ../shared/cxr/brixia-cohen --lungs ../shared/cxr/lung-masks --fold all
    """
    _severity("brixia", locals())


@app.command()
def inha(
    data: Data = None,
    lungs: Lungs = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    protocol: Protocol = None,
    fold: Fold = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Grade the four quadrants of the Inha ICU score (1-5).

    Example: lungsev-train inha --data inha/ --config inha/linear_probe_resnet34
    """
    _severity("inha", {**locals(), "layout": "inha"})


@app.command()
def custom(
    data: Data = None,
    scheme: Scheme = None,
    lungs: Lungs = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    protocol: Protocol = None,
    fold: Fold = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Grade by any scheme: a CSV with one column per region, and a YAML file that says where the regions lie.

    Example: lungsev-train custom --data mine/ --scheme mine/scheme.yaml
    """
    _severity("custom", locals())


@app.command()
def pretrain(
    data: Data = None,
    lungs: Lungs = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Teach the backbone from images with one label each: labels.csv beside images/.

    Example: lungsev-train pretrain --data ../shared/cxr/pneumonia-224
    """
    from lungsev.train.tasks.pretraining import PretrainSettings, resolve, run_pretraining

    _train("pretrain", PretrainSettings, run_pretraining, locals(), resolve)


@app.command()
def ensemble(
    data: Data = None,
    lungs: Lungs = None,
    config: Config = None,
    out: Out = None,
    epochs: Epochs = None,
    seed: Seed = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """Grade few images well: a cross-validation that ends as one network, the mean of copies trained on all images.

    Example: lungsev-train ensemble --data ../shared/cxr/brixia-cohen --set initial.encoder_weights=runs/pretrain/RUN
    """
    from lungsev.train.tasks.severity import resolve
    from lungsev.train.tasks.soup import EnsembleSettings, run_ensemble

    _train("ensemble", EnsembleSettings, run_ensemble, locals(), resolve)


@app.command()
def model(
    data: Data = None,
    config: Config = None,
    out: Out = None,
    resume: Resume = None,
    fresh: Fresh = False,
    assign: Assign = None,
    as_json: Json = False,
) -> None:
    """All stages in one go: the model that ships, from a folder that holds lung masks and the Cohen subset.

    Example: lungsev-train model --data ../shared/cxr
    """
    from lungsev.train.tasks.recipe import ModelSettings, run_model

    _train("model", ModelSettings, run_model, {**locals(), "root_key": "data"})


@app.command()
def table(
    number: Annotated[int, typer.Argument(metavar="1|2", help="1: Brixia. 2: portability, from the runs of table 1.")],
    data: Data = None,
    lungs: Lungs = None,
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; repeatable.")] = None,
    cxr_clip: Annotated[
        Path | None,
        typer.Option("--cxr-clip", help="Weights of CXR-CLIP's ResNet50; without, no such row."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the rows; default runs/table1 or 2.")] = None,
    epochs: Epochs = None,
    seed: Seed = None,
    protocol: Protocol = None,
    fold: Fold = None,
    assign: Assign = None,
) -> None:
    """Every row of the paper's Table 1 or 2, each from its config, and the report over them.

    Example: lungsev-train table 1 --data brixia/ --lungs lung-masks/
    """
    from lungsev.train.console import say
    from lungsev.train.tasks.paper_tables import CXR_CLIP, chosen_rows, run_table
    from lungsev.train.tasks.severity import SeverityRunSettings, resolve

    rows = chosen_rows(number, row or [])
    if cxr_clip is None and not row and CXR_CLIP in rows:
        say("Left out: cxr_clip_resnet50, which needs its weights: --cxr-clip FILE")
        rows = tuple(name for name in rows if name != CXR_CLIP)
    options = {**locals(), "layout": "inha" if number == 2 else None}

    def settings_of_row(name: str) -> SeverityRunSettings:
        own = [f"initial.encoder_weights={cxr_clip}"] if name == CXR_CLIP and cxr_clip is not None else []
        words = {**options, "config": name, "assign": [*own, *(assign or [])]}
        return _settings("brixia", SeverityRunSettings, words, resolve)

    page = run_table(number, rows, settings_of_row, out if out is not None else Path(f"runs/table{number}"))
    say(f"Done: {page}")


@app.command()
def evaluate(
    sources: Annotated[list[Path], typer.Argument(metavar="RUN|BUNDLE...", help="Several are averaged.")],
    data: Data = None,
    scheme: Scheme = None,
    view: Annotated[
        list[str] | None,
        typer.Option("--view", help="Test-time view: flip, zoom_in, zoom_out, turn_left, turn_right; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default RUN/evaluation/<dataset>.")] = None,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Leave damaged images out.")] = False,
    as_json: Json = False,
) -> None:
    """Grade a dataset by a trained run, a bundle or an ensemble of them, and measure the agreement with the readers.

    Example: lungsev-train evaluate runs/brixia/RUN --data ../shared/cxr/brixia-cohen --view flip
    """
    from lungsev.train.console import print_json, say
    from lungsev.train.evaluation.evaluate import EvaluateSettings, default_folder
    from lungsev.train.evaluation.evaluate import evaluate as run_evaluation
    from lungsev.train.evaluation.inference import demand_views
    from lungsev.train.evaluation.reporting import write_report
    from lungsev.train.settings import DataSettings

    settings = EvaluateSettings(
        sources=tuple(sources),
        data=data,
        scheme=scheme,
        views=demand_views(view or []),
        workers=max(1, DataSettings().num_workers),
        skip_unreadable=skip_unreadable,
    )
    folder = out if out is not None else default_folder(settings)
    metrics = run_evaluation(settings, folder)
    say(f"Report: {write_report([folder], folder / 'report', folder.name)}")
    say(f"Done: {folder}")
    if as_json:
        print_json({"out": str(folder), **metrics})


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run or evaluation folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the page, tables and figures.")] = Path("runs/report"),
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "lungsev training report",
) -> None:
    """One self-contained page, Markdown tables and figures over any number of runs.

    Example: lungsev-train report runs/brixia/* --out runs/report
    """
    from lungsev.train.console import say
    from lungsev.train.evaluation.reporting import write_report

    page = write_report(runs, out, title)
    say(f"Done: {page}")


@data_app.command("check")
def data_check(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset, as it was published.")],
    scheme: Scheme = None,
    cache: Annotated[Path, typer.Option("--cache", help="Where prepared images are kept.")] = Path("runs/cache"),
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; default: one less than cores.")] = None,
    as_json: Json = False,
) -> None:
    """Count, look for unreadable and double images, see who would be on which side, and say what to do.

    Example: lungsev-train data check ../shared/cxr/brixia-cohen
    """
    from lungsev.train.console import print_json, say
    from lungsev.train.dataset_check.check import check_folder
    from lungsev.train.settings import DataSettings

    checks = check_folder(root, cache, max(1, DataSettings(workers=workers).num_workers), scheme)
    if as_json:
        print_json([check.to_dict() for check in checks])
        return
    for line in (line for check in checks for line in check.lines()):
        say(line)


@data_app.command("phantom")
def data_phantom(
    out: Annotated[Path, typer.Argument(help="New or empty folder.")],
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help="Published layout: brixia, inha, cohen, ralo, severity, lungs, v7, montgomery, shenzhen or jsrt.",
        ),
    ] = "brixia",
    count: Annotated[int, typer.Option("--count", help="Images.")] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same images.")] = 0,
    size_px: Annotated[int | None, typer.Option("--size-px", help="Longer side; default: the layout's own.")] = None,
) -> None:
    """Make a dataset of synthetic images in a published layout.

    Example: lungsev-train data phantom /tmp/brixia --layout brixia --count 30
    """
    from lungsev.phantom import write_dataset
    from lungsev.train.console import progress_of, say

    with progress_of("Drawing images", count) as advance:
        write_dataset(out, layout, count, seed, advance, size_px)
    say(f"{count} synthetic images in {out}, laid out as {layout}")


def main() -> None:
    """Entry point: one line and the exit code of the error for what an operator can act on."""
    from lungsev.train.console import leave_stdout_to_machines

    leave_stdout_to_machines("--json" in sys.argv)
    try:
        code = app(standalone_mode=False)
        if code:  # typer turns Ctrl-C into a number
            raise KeyboardInterrupt
    except LungsevError as error:
        _stop(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of a pipe, as `| head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        _stop(f"{where}{error.strerror or error}; make room or choose another folder, then start the command again")
    except MemoryError as error:
        _stop(f"not enough memory ({error}); use smaller batches: --set loop.accumulate=2, or 4")
    except (KeyboardInterrupt, typer.Abort):
        _stop("stopped; start the same command again to continue from the last epoch")
    except BaseException as error:
        usage = _usage_exit_code(error)
        if usage is None:
            raise
        sys.exit(usage)
    finally:
        leave_stdout_to_machines(False)


def _stop(message: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"lungsev-train: {' '.join(message.split())}\n")
    sys.exit(code)


AnySettings = TypeVar("AnySettings", bound="Settings")


def _severity(command: str, options: dict[str, Any]) -> None:
    from lungsev.train.console import is_main_process, say
    from lungsev.train.evaluation.reporting import write_report
    from lungsev.train.tasks.cross_validation import run_folds
    from lungsev.train.tasks.severity import SeverityRunSettings, resolve, run_severity

    def work(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        metrics = (run_folds if settings.data.split.fold == "all" else run_severity)(settings, run)
        if is_main_process():
            say(f"Report: {write_report([run.path], run.path / 'report', f'{run.path.name}, {command}')}")
        return metrics

    _train(command, SeverityRunSettings, work, options, resolve)


def _train(
    command: str,
    model: type[AnySettings],
    work: Callable[[Any, Any], dict[str, Any]],
    options: dict[str, Any],
    resolve: Callable[[Any], Any] = lambda settings: settings,
) -> None:
    """Settings from config and options, a run folder, the work, the metrics."""
    from lungsev.train.runs import open_run, settings_of

    if options["resume"] is not None:
        settings = settings_of(options["resume"], model)
    else:
        settings = _settings(command, model, options, resolve)
    run = open_run(command, settings, options["out"], options["resume"], options["fresh"])
    metrics = work(settings, run)
    _finish(run, metrics, options["as_json"])


def _settings(
    command: str, model: type[AnySettings], options: dict[str, Any], resolve: Callable[[Any], Any]
) -> AnySettings:
    """Explicit options over the config over the defaults, with what is to be built on named."""
    from lungsev.config import load_model, parse_assignments
    from lungsev.train.configs import built_in_or_path, default_config, read_config

    fold, lungs, config = options.get("fold"), options.get("lungs"), options["config"]
    named = {
        options.get("root_key", "data.root"): _text(options["data"]),
        "data.split.protocol": options.get("protocol") or ("kfold" if fold else None),
        "data.split.fold": int(fold) if fold and fold.isdigit() else fold,
        "loop.epochs": options.get("epochs"),
        "loop.seed": options.get("seed"),
        "scheme": options.get("scheme"),
        "data.layout": options.get("layout"),
    }
    given = {key: value for key, value in named.items() if value is not None}
    overrides = {**parse_assignments(options["assign"] or []), **given}
    path = built_in_or_path(config) if config is not None else default_config(command)
    settings: AnySettings = load_model(model, path, overrides, read_config)
    if lungs is not None:
        from lungsev.train.tasks.upstream import align_by

        settings = settings.model_copy(update={"alignment": align_by(lungs)})
    return resolve(settings)  # type: ignore[no-any-return]


def _finish(run: Run, metrics: dict[str, Any], as_json: bool) -> None:
    from lungsev.train.console import print_json, say

    say(f"Done: {run.path}")
    if as_json:
        print_json({"run": str(run.path), **metrics})


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _usage_exit_code(error: BaseException) -> int | None:
    """Exit code of what typer itself raises; its vendored or installed click prints its own message."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is not None:
        show()
    return code if isinstance(code, int) else None
