"""`lungsev-train`: the command line of training."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from lungsev.errors import LungsevError
from lungsev.inference.cpus import limit_thread_pools
from lungsev.train.commands import data, evaluation, sharing, sweep, table, training

app = typer.Typer(
    name="lungsev-train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train networks that grade pneumonia region by region. Stages: segment, align, then brixia, inha or custom.",
)
app.add_typer(training.app)
app.add_typer(table.app)
app.add_typer(sweep.app)
app.add_typer(evaluation.app)
app.add_typer(sharing.app)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command; what an operator can act on is one line and the exit code of its error."""
    from lungsev.train.console import leave_stdout_to_machines

    limit_thread_pools()
    leave_stdout_to_machines("--json" in sys.argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for file names that the locale cannot print
    terminations: list[int] = []

    def stop(signum: int, _: FrameType | None) -> NoReturn:
        terminations.append(signum)
        raise KeyboardInterrupt  # which everything below ends by itself for

    handler = signal.signal(signal.SIGTERM, stop)
    try:
        code = app(standalone_mode=False)
        if code:  # typer turns Ctrl-C into a number
            raise KeyboardInterrupt
    except LungsevError as error:
        _stop(str(error), error.exit_code)
    except BrokenPipeError:  # the pipe was closed, e.g. by `| head`
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        _stop(f"{where}{error.strerror or error}; make room or choose another folder, then start the command again")
    except MemoryError as error:
        _stop(f"not enough memory ({error}); use smaller batches: --set loop.accumulate=2, or 4")
    except (KeyboardInterrupt, typer.Abort):
        by, code = ("SIGTERM", signal.SIGTERM) if terminations else ("Ctrl-C", signal.SIGINT)
        _stop(f"stopped by {by}; start the same command again to continue from the last epoch", 128 + code)
    except BaseException as error:
        usage = _usage_exit_code(error)
        if usage is None:
            raise
        sys.exit(usage)
    finally:
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
        leave_stdout_to_machines(False)


def _stop(message: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"lungsev-train: {' '.join(message.split())}\n")
    sys.exit(code)


def _usage_exit_code(error: BaseException) -> int | None:
    """Exit code of what typer itself raises; its vendored or installed click prints its own message."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if show is not None:
        show()
    return code if isinstance(code, int) else None
