"""`lungsev-run`: the commands of the bedside. Bodies import what they need, so that `--help` stays instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lungsev import __version__
from lungsev.errors import LungsevError
from lungsev.inference.tensorrt.command import engine
from lungsev.runtime.commands.bench import bench
from lungsev.runtime.commands.corrections import corrections
from lungsev.runtime.commands.listen import listen
from lungsev.runtime.commands.options import BackendOption, BundleOption, JsonOption, OutFolder, ThreadsOption
from lungsev.runtime.commands.outbox import outbox
from lungsev.runtime.commands.score import score
from lungsev.runtime.commands.watch import watch

app = typer.Typer(
    name="lungsev-run",
    help="Score how severely pneumonia affects each lung region on portable chest radiographs.\n\n"
    "Research use only. Not for clinical use.\n\n"
    "Exit codes: 0 done, 1 something an operator can put right (one line says what), 2 wrong usage, "
    "3 another instance holds the folder.",
    epilog="Example: lungsev-run demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help wraps paragraphs and starts twice as fast
)


def main() -> None:
    """Entry point: an operator's error becomes one line and its exit code."""
    if "LUNGSEV_PARENT" in os.environ:
        from lungsev.runtime.watcher.supervisor import die_with_watcher

        die_with_watcher()
    try:
        app()
    except LungsevError as error:
        print(f"lungsev-run: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe, as `| head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # a bug; its words and Python's own trace may quote a path or a tag
        from lungsev.runtime.logs import describe_error

        if os.environ.get("LUNGSEV_DEBUG") == "1":
            raise
        print(f"lungsev-run: unexpected {describe_error(error)}; LUNGSEV_DEBUG=1 shows more", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"lungsev-run {__version__}")
        raise typer.Exit


app.command()(score)


@app.command(epilog="Example: lungsev-run demo --out demo-out")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demonstration.")] = Path("demo-out"),
    count: Annotated[int, typer.Option("--count", min=1, max=200, help="Chest radiographs to make.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the images.")] = 7,
    bundle: BundleOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Make phantom images, drop them into a watched folder one by one and score them as they arrive.

    One of the images is no chest radiograph, to show what a refusal looks like.
    """
    from lungsev.runtime.commands.demo import demo_command

    demo_command(out, count, seed, bundle, backend, threads)


@app.command(epilog="Example: lungsev-run phantoms ward")
def phantoms(
    folder: Annotated[Path, typer.Argument(help="New or empty folder.")],
    patients: Annotated[int, typer.Option("--patients", min=1, max=100, help="How many lie in the unit.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same patients.")] = 7,
) -> None:
    """Draw a unit of phantom patients: up to two weeks of portable radiographs each, as DICOM files in one folder.

    Some get worse and some better; one newest image is tilted, one is a lateral, one file broke. Nobody's images.
    Watch the folder to try the dashboard: lungsev-run watch FOLDER --dashboard
    """
    from lungsev.runtime.commands.demo_unit import phantoms_command

    phantoms_command(folder, patients, seed)


@app.command(epilog="Example: lungsev-run verify --bundle bundles/newest")
def verify(
    bundle: BundleOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check a bundle: checksums, versions, and one inference on an image made for it."""
    from lungsev.runtime.commands.verify import verify_command

    verify_command(bundle, backend, threads, json_output)


@app.command(epilog="Example: lungsev-run trend 4711 --out lungsev-out")
def trend(
    patient: Annotated[str, typer.Argument(help="Patient id, as the images have it.")],
    out: OutFolder = Path("lungsev-out"),
    scheme: Annotated[str | None, typer.Option("--scheme", help="Default: Brixia where the images have it.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Where to write the picture. Default: OUT/trends.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Show a patient's course: totals and zones by the dates of the images.

    A change is called one when it is larger than what two readers of the same image differ by. Images of another
    view or scored by another model are marked.
    """
    from lungsev.runtime.commands.trend import trend_command

    trend_command(patient, out, scheme, png, json_output)


@app.command(epilog="Example: lungsev-run dashboard lungsev-out")
def dashboard(
    out: Annotated[Path, typer.Argument(help="The folder that watch writes to.")] = Path("lungsev-out"),
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; this machine only by default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8080,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Holds the token, mode 600. Default: one of OUT's own, printed.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option("--tls-certificate", help="PEM; switches HTTPS on.")] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help="PEM; its key.")] = None,
) -> None:
    """Serve the unit board and the exam pages to browsers.

    Open the address it prints. Without the token nothing is served; nothing is loaded from elsewhere.
    """
    from lungsev.runtime.commands.dashboard import dashboard_command
    from lungsev.runtime.watcher.supervisor import die_with_watcher

    die_with_watcher()
    dashboard_command(out, host, port, token_file, certificate, key)


app.command()(watch)
app.command()(listen)
app.command()(outbox)
app.add_typer(corrections, name="corrections")


@app.command(epilog="Example: lungsev-run doctor --config bedside.yaml")
def doctor(
    incoming: Annotated[Path | None, typer.Argument(help="Folder that images arrive in.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of everything lungsev keeps.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML of the watcher.")] = None,
    bundle: BundleOption = None,
    backend: Annotated[str | None, typer.Option("--backend", help="auto, onnxruntime, tensorrt, ...")] = None,
    json_output: JsonOption = False,
) -> None:
    """Look at model, GPU, memory, clock, extras, folders and disk, and say what to do about what is wrong."""
    from lungsev.runtime.commands.doctor import doctor_command

    overrides = {"watch.out": out, "model.bundle": bundle, "model.backend": backend}
    doctor_command(incoming, config, json_output, overrides)


app.command()(bench)


app.command(epilog="Example: lungsev-run engine --bundle model.zip")(engine)


if __name__ == "__main__":
    main()
