"""The commands that measure trained networks and report on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.train.commands.options import DataFolder, Json, Scheme, Threads

app = typer.Typer()


@app.command()
def evaluate(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|BUNDLE...", help="Folder, .zip, or name of a bundle; several are averaged."),
    ],
    data: DataFolder = None,
    scheme: Scheme = None,
    tta: Annotated[
        list[str] | None,
        typer.Option("--tta", help="Augmented copy: flip, zoom_in, zoom_out, turn_left, turn_right; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default RUN/evaluation/<dataset>.")] = None,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Leave damaged images out.")] = False,
    accelerator: Annotated[str, typer.Option("--accelerator", help="Of the networks of runs: auto, cpu or gpu.")] = (
        "auto"
    ),
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Grade a dataset by a trained run, a bundle or an ensemble of them, and measure the agreement with its readers.

    Example: lungsev-train evaluate runs/brixia/RUN --data ../shared/cxr/brixia-cohen --tta flip
    """
    from lungsev.bundle.zoo import find_bundle
    from lungsev.errors import ConfigError
    from lungsev.train.console import print_json, say
    from lungsev.train.evaluation.evaluate import EvaluateSettings, default_folder
    from lungsev.train.evaluation.evaluate import evaluate as run_evaluation
    from lungsev.train.evaluation.inference import known_tta
    from lungsev.train.evaluation.reporting import write_report
    from lungsev.train.settings import DataSettings

    if accelerator not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"found --accelerator {accelerator}, expected auto, cpu or gpu")
    settings = EvaluateSettings(
        sources=tuple(map(find_bundle, sources)),
        data=data,
        scheme=scheme,
        tta=known_tta(tta or []),
        workers=max(1, DataSettings().num_workers),
        skip_unreadable=skip_unreadable,
        accelerator=accelerator,  # type: ignore[arg-type]
        threads=threads,
    )
    folder = out if out is not None else default_folder(settings)
    metrics = run_evaluation(settings, folder)
    say(f"Report: {write_report([folder], folder / 'report', folder.name)}")
    say(f"Done: {folder}")
    if as_json:
        print_json({"out": str(folder), **metrics})


@app.command()
def change(
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder of graded courses with times or days, e.g. RALO.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Bundle to measure; its manifest and card are rewritten.")
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            "--predictions",
            help="Predictions of these images, a file for each scheme and fold, instead of scoring them: where the "
            "bundle was trained on them.",
        ),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option("--split", help="splits.json of a run on these images: only its test part is measured."),
    ] = None,
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="Scheme whose total is shown. Default: brixia if it is scored.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure how repeatable a bundle is on courses that readers graded, and write it into the bundle.

    From it follows the probability that a patient got worse or better between two images. A bundle without it calls
    no change. Without a bundle the predictions are measured, and nothing is written.

    Example: lungsev-train change --data ../shared/cxr/ralo --bundle lungsev/bundle/default
    """
    from lungsev.train.console import print_json
    from lungsev.train.tasks.change import measure_change

    found = measure_change(data, bundle, scheme, threads, predictions or (), split)
    if as_json:
        print_json(found)


@app.command()
def external(
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Folder of grades, of RSNA classes or of outlines of opacity.")
    ],
    bundle: Annotated[Path, typer.Option("--bundle", help="Bundle to measure; its manifest and card are rewritten.")],
    split: Annotated[
        Path | None, typer.Option("--split", help="splits.json of the run that used this data: its test part counts.")
    ] = None,
    exclude_patients_of: Annotated[
        Path | None, typer.Option("--exclude-patients-of", help="Graded images whose patients do not count.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure a bundle on images that it was not trained on, and write the figures into its card.

    What the folder holds decides what is measured: agreement with grades of another scheme, how well opacity is told
    from normal lungs, or whether a zone's grade follows its opaque share.

    Example: lungsev-train external --data ../shared/cxr/nih-adults --bundle lungsev/bundle/default
    """
    from lungsev.train.console import print_json
    from lungsev.train.evaluation.external import measure_external
    from lungsev.train.evaluation.external.command import ExternalOptions

    found = measure_external(data, bundle, ExternalOptions(split, exclude_patients_of, threads))
    if as_json:
        print_json(found)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run or evaluation folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the page, tables and figures.")] = Path("runs/report"),
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "lungsev training report",
) -> None:
    """Write one self-contained page, Markdown tables and figures over any number of runs.

    Example: lungsev-train report runs/brixia/* --out runs/report
    """
    from lungsev.train.console import say
    from lungsev.train.evaluation.reporting import write_report

    page = write_report(runs, out, title)
    say(f"Done: {page}")


@app.command()
def artefact(
    run: Annotated[Path, typer.Argument(help="Finished run of `joint`, or a stage of `model`.")],
    out: Annotated[Path | None, typer.Option("--out", help="File; default RUN/artefact.zip.")] = None,
) -> None:
    """Keep what calibration can be repeated from: predictions of all folds, splits, settings, metrics; under 20 MB.

    Example: lungsev-train artefact runs/model/RUN/zones
    """
    from lungsev.train.tasks.joint.artefact import write_artefact

    write_artefact(run, out if out is not None else run / "artefact.zip")


@app.command()
def calibrate(
    source: Annotated[Path, typer.Argument(metavar="RUN|ARTEFACT", help="Run of `joint`, or the file it left.")],
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="Another calibration, e.g. coverage=0.9; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Repeat the calibration of a run without images, each fold or group of patients by what the others say.

    Example: lungsev-train calibrate artefact.zip --set decision=argmax
    """
    from lungsev.config import parse_assignments
    from lungsev.train.console import print_json, say
    from lungsev.train.tasks.joint.artefact import repeat_calibration

    found = repeat_calibration(source, parse_assignments(assign or []))
    for name, scheme in found.items():
        if scheme["as_stated"] is not None:
            agrees = "as the run states" if scheme["as_stated"] else "NOT as the run states"
            say(f"{name}: temperature {scheme['temperature']:.4f}, {agrees}")
    if as_json:
        print_json(found)


@app.command()
def gallery(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run or evaluation folder with predictions.")],
    data: DataFolder = None,
    part: Annotated[str | None, typer.Option("--part", help="Default: the part that was held out.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Images of each of the two lists.")] = 8,
    out: Annotated[Path | None, typer.Option("--out", help="Default: RUN/gallery.html.")] = None,
) -> None:
    """Write one page of the images that a run graded worst, with the readers' and the model's grades.

    The page shows radiographs: it belongs where the dataset may be kept, and its licence applies.

    Example: lungsev-train gallery runs/brixia/RUN --data ../shared/cxr/brixia-cohen
    """
    from lungsev.train.console import say
    from lungsev.train.evaluation.reporting.gallery import write_gallery

    page = write_gallery(run, out if out is not None else run / "gallery.html", data, part, count)
    say(f"Done: {page}")
