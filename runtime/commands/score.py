"""`lungsev-run score`: score images and folders of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import BackendOverride, BundleOption, ConfigOption, JsonLinesOption, ThreadsOption

if TYPE_CHECKING:
    from rich.console import Console

    from lungsev.model import Model
    from lungsev.runtime.commands.batch import ImageResult
    from lungsev.runtime.settings import ModelSettings


_MOST_THREADS = 64


def score(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Images (DICOM, PNG, JPEG, TIFF) and folders of images; or URLs: s3://, gs://, https://, zip::..., "
            "dicomweb+https://HOST/dicom-web?StudyDate=..."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for <file name>.json and .png of every image, or for Parquet files."),
    ] = None,
    bundle: BundleOption = None,
    backend: BackendOverride = None,
    threads: ThreadsOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            max=4096,
            help="Images scored at the same time. Default: 1; on a cluster one per CPU, or as GPUs have room.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Score again what --out already holds.")] = False,
    json_lines: JsonLinesOption = False,
    config: ConfigOption = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            help="Score on Ray: auto (the cluster that runs here), local (start one for this run), or its address, "
            "ray://HOST:10001. Implies --parquet.",
        ),
    ] = None,
    parquet: Annotated[
        bool,
        typer.Option("--parquet", help="One table in Parquet files instead of files per image. URLs imply it."),
    ] = False,
    reports: Annotated[bool, typer.Option("--reports", help="Keep each report's JSON in the table.")] = False,
    gpus: Annotated[
        float, typer.Option("--gpus-per-worker", min=0, help="GPU that each worker on a cluster takes, e.g. 0.25.")
    ] = 0.0,
) -> None:
    """Score images, folders of images and archives of millions.

    Every input gets one report. An image that cannot be scored is `skipped` (for example, it is no frontal chest
    radiograph) or `failed` (it is damaged), with the reason; it never stops the others, and the exit code stays 0. A
    path that does not exist makes the exit code 1, after the others have been scored.

    The CPU scores until the TensorRT engine of this machine is loaded, if there is one (lungsev-run engine builds it);
    --backend tensorrt waits for it.

    With --out, results of an earlier run for the same file and model are kept and not scored again.

    URLs, --parquet and --cluster write one table, a row per image (extra "cluster"); --json then prints one summary.

    Example: lungsev-run score image.dcm ward-7/ --out results

    Example: lungsev-run score s3://bucket/prefix --out results --cluster auto
    """
    from lungsev.config import load_model
    from lungsev.runtime.cluster.sources import is_url
    from lungsev.runtime.settings import BedsideSettings

    overrides = {"model.bundle": bundle, "model.backend": backend, "model.threads": threads}
    model = load_model(BedsideSettings, config, overrides).model
    is_archive = parquet or cluster is not None or any(is_url(str(source)) for source in sources)
    if cluster is None and (gpus or (jobs or 1) > _MOST_THREADS):
        raise typer.BadParameter(f"--gpus-per-worker, and --jobs above {_MOST_THREADS}, need --cluster")
    if reports and not is_archive:
        raise typer.BadParameter("--reports needs --parquet, --cluster or a URL: without them each report is a file")
    if is_archive:
        from lungsev.runtime.commands.archive import ArchiveOptions, score_archive

        options = ArchiveOptions(cluster, jobs, gpus, reports, fresh)
        score_archive(sources, out, model, options, json_lines)
    else:
        _score_files([Path(source) for source in sources], out, model, jobs or 1, fresh, json_lines)


def _score_files(
    paths: list[Path], out: Path | None, model: ModelSettings, jobs: int, fresh: bool, json_lines: bool
) -> None:
    from lungsev.errors import LungsevError
    from lungsev.inference.cpus import usable_cpus
    from lungsev.inference.select import DeviceOptions
    from lungsev.model import load
    from lungsev.runtime.commands.batch import score_images
    from lungsev.runtime.commands.inputs import find_images
    from lungsev.runtime.console import count_noun, display_name, open_console

    device, bundle = DeviceOptions(model.engine), model.bundle_path()
    found = find_images(paths, results=out)
    unfinished = f"{count_noun(found.unfinished, 'file')} left out, hidden or still being written"
    if not found.images and not found.missing:
        named = ", ".join(display_name(path) for path in paths)
        note = f" ({unfinished})" if found.unfinished else ""
        raise LungsevError(f"found no file in {named}{note}; expected images (DICOM, PNG, JPEG, TIFF)")
    if found.unfinished:
        open_console(stderr=True).print(unfinished)
    count = 0
    if found.images:
        each = model.threads or max(1, usable_cpus() // jobs)

        def open_model() -> Model:
            return load(bundle, model.backend, each, allow_unsigned=model.allow_unsigned, device=device)

        results = score_images(found.images, out, open_model, jobs, fresh)
        count = _print_json(results) if json_lines else _print_for_people(results, len(found.images), out)
    if found.missing:
        named = ", ".join(display_name(path) for path in found.missing)
        done = f"; the other {count_noun(count, 'image')} {'is' if count == 1 else 'are'} done" if count else ""
        raise LungsevError(f"no such file or folder: {named}{done}; check the path")


def _print_json(results: Iterator[ImageResult]) -> int:
    import json

    from lungsev.runtime.console import display_name

    count = 0
    for result in results:
        line = {
            "input": display_name(result.path),
            "files": [display_name(path) for path in result.files],
            "reused": result.reused,
            "report": result.report.to_dict(),
        }
        print(json.dumps(line, ensure_ascii=True), flush=True)
        count += 1
    return count


def _print_for_people(results: Iterator[ImageResult], total: int, out: Path | None) -> int:
    from lungsev.runtime.console import count_line, count_noun, open_console

    console = open_console()
    finished = _with_progress(console, results, total) if console.is_terminal else _with_lines(console, results)
    reused = sum(result.reused for result in finished)
    summary = f"{count_noun(len(finished), 'image')}: {count_line([result.report for result in finished])}"
    console.print(summary + (f" ({reused} kept from an earlier run)" if reused else ""))
    if out is not None:
        console.print(f"reports and overlays: {out}")
    if finished:
        console.print(finished[0].report.disclaimer)
    return len(finished)


def _with_progress(console: Console, results: Iterator[ImageResult], total: int) -> list[ImageResult]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lungsev.runtime.console import display_name, reports_table

    finished = []
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=total)
        for result in results:
            finished.append(result)
            progress.advance(task)
    console.print(reports_table([(display_name(result.path.name), result.report) for result in finished]))
    return finished


def _with_lines(console: Console, results: Iterator[ImageResult]) -> list[ImageResult]:
    from lungsev.runtime.console import display_name, report_line

    finished = []
    for result in results:
        console.print(report_line(display_name(result.path), result.report))
        finished.append(result)
    return finished
