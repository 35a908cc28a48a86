"""`lungsev-train table 1 | 2`: trains every row of the paper's tables from its config, and reports on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.console import say, warn
from lungsev.train.evaluation.reporting import write_report
from lungsev.train.runs import Run, made_with, open_run
from lungsev.train.tasks.cross_validation import run_grading
from lungsev.train.tasks.severity import SeverityRunSettings

DEPTHS = (18, 34, 50)
CXR_CLIP = "brixia/cxr_clip_resnet50"
ROWS: dict[int, tuple[str, ...]] = {
    1: (
        CXR_CLIP,
        "brixia/bsnet",
        "brixia/bsnet_ensemble",
        *(f"brixia/paper_resnet{depth}{kind}" for depth in DEPTHS for kind in ("_sn", "")),
    ),
    2: tuple(f"inha/{start}_resnet{depth}" for depth in DEPTHS for start in ("scratch", "finetune", "linear_probe")),
}


def chosen_rows(number: int, names: Sequence[str]) -> tuple[str, ...]:
    """Return the configs of a table's rows: all, or those named.

    Raises:
        ConfigError: There is no such table or row.
    """
    if number not in ROWS:
        raise ConfigError(f"found table {number}, expected 1 (Brixia) or 2 (portability)")
    known = {row.rpartition("/")[2]: row for row in ROWS[number]}
    for name in names:
        if name not in known:
            raise ConfigError(f"row {name!r} is unknown; table {number} has {', '.join(known)}")
    return tuple(known[name] for name in names) if names else ROWS[number]


def run_table(
    number: int, rows: Sequence[str], settings_of_row: Callable[[str], SeverityRunSettings], out: Path
) -> Path:
    """Train each row that is not finished in `out/<row>`; a row that fails does not stop the others.

    Returns:
        The report's page.

    Raises:
        LungsevError: A row could not be run; those that could are finished, and reported on.
    """
    finished: list[Path] = []
    failed: dict[str, LungsevError] = {}
    for place, row in enumerate(rows, start=1):
        name = row.rpartition("/")[2]
        say(f"Table {number}, row {place} of {len(rows)}: {name}")
        try:
            _run_row(settings_of_row(row), Run(out / name))
            finished.append(out / name)
        except LungsevError as error:
            warn(f"{name}: {error}")
            failed[name] = error
    if not finished:
        raise next(iter(failed.values()))
    page = write_report(finished, out / "report", f"Table {number}")
    if failed:
        name, reason = next(iter(failed.items()))
        raise LungsevError(
            f"{len(failed)} of {len(rows)} rows could not be run, {name} because: {reason}; {page} shows the others, "
            "and the same command continues with those that are missing"
        )
    return page


def _run_row(settings: SeverityRunSettings, run: Run) -> None:
    if run.is_finished:
        if not made_with(run, settings):
            raise ConfigError(f"{run.path} is finished with other settings; give another --out")
        return
    run_grading(settings, open_run("table", settings, out=run.path))
