"""The end of a run: its metrics, what loggers and config.yaml learn of them, and no checkpoint left behind."""

from __future__ import annotations

from typing import Any

from lungsev.train.fitting.loggers import log_result
from lungsev.train.provenance import note_end
from lungsev.train.runs import Run


def finish_run(run: Run, metrics: dict[str, Any]) -> None:
    """Write metrics.json, which makes the run finished, then log the results and remove the checkpoints.

    A kill in between loses nothing: the next command that meets the finished run removes what was left.
    """
    run.write_metrics(metrics)
    if not (run.path / "config.yaml").is_file():  # a folder that `open_run` did not make
        return
    note_end(run.path)
    log_result(run, metrics)
    run.remove_checkpoints()
