"""`lungsev-run`: the commands of the bedside. Bodies import what they need, so that `--help` stays instant."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lungsev import __version__
from lungsev.bundle import trust
from lungsev.errors import LungsevError
from lungsev.inference.cpus import limit_thread_pools
from lungsev.inference.tensorrt.command import engine
from lungsev.runtime.commands.bench import bench
from lungsev.runtime.commands.corrections import corrections
from lungsev.runtime.commands.dashboard import dashboard
from lungsev.runtime.commands.decisions.patients import patients
from lungsev.runtime.commands.decisions.rescore import rescore
from lungsev.runtime.commands.demo import demo
from lungsev.runtime.commands.doctor import doctor
from lungsev.runtime.commands.listen import listen
from lungsev.runtime.commands.listen_hl7 import listen_hl7
from lungsev.runtime.commands.models import models
from lungsev.runtime.commands.outbox import outbox
from lungsev.runtime.commands.phantoms import phantoms
from lungsev.runtime.commands.score import score
from lungsev.runtime.commands.trend import trend
from lungsev.runtime.commands.verify import verify
from lungsev.runtime.commands.watch import watch


class _UnsignedAnywhere(TyperGroup):
    """`lungsev-run verify --allow-unsigned` means `lungsev-run --allow-unsigned verify`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if trust.UNSIGNED_OPTION in args:
            args = [trust.UNSIGNED_OPTION, *(word for word in args if word != trust.UNSIGNED_OPTION)]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="lungsev-run",
    cls=_UnsignedAnywhere,
    help="Score how severely pneumonia affects each lung region on portable chest radiographs.\n\n"
    "Research use only. Not for clinical use.\n\n"
    "Exit codes: 0 done, 1 an error that an operator can correct (one line says how), 2 wrong usage, "
    "3 another instance holds the folder.",
    epilog="Example: lungsev-run demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help wraps paragraphs and starts twice as fast
)


def main() -> None:
    """Run the program; an operator's error becomes one line and its exit code."""
    if "LUNGSEV_PARENT" in os.environ:
        from lungsev.runtime.watcher.supervisor import die_with_watcher

        die_with_watcher()
    limit_thread_pools()
    try:
        app()
    except LungsevError as error:
        print(f"lungsev-run: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # a bug; its text and Python's own trace may quote a path or a tag
        from lungsev.runtime.logs import describe_error

        if os.environ.get("LUNGSEV_DEBUG") == "1":
            raise
        print(f"lungsev-run: unexpected {describe_error(error)}; LUNGSEV_DEBUG=1 shows more", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    allow_unsigned: Annotated[
        bool, typer.Option(trust.UNSIGNED_OPTION, help="Use bundles that no trusted key has signed; with any command.")
    ] = False,
) -> None:
    if allow_unsigned:
        trust.allow_unsigned()
    if version:
        print(f"lungsev-run {__version__}")
        raise typer.Exit


app.command()(score)
app.command()(watch)
app.command()(demo)
app.command()(trend)
app.add_typer(patients, name="patients")
app.command()(rescore)
app.command()(dashboard)
app.command()(listen)
app.command("listen-hl7")(listen_hl7)
app.command()(outbox)
app.add_typer(corrections, name="corrections")
app.command()(doctor)
app.add_typer(models, name="models")
app.command()(verify)
app.command()(bench)
app.command(epilog="Example: lungsev-run engine --bundle model.zip")(engine)
app.command()(phantoms)


if __name__ == "__main__":
    main()
