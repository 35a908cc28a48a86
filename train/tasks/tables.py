"""`lungsev-train table NAME`: trains every row of a table, each into its folder, and reports on them.

OUT/lungs/{segment,align}/   where the table trains these itself
OUT/<row>/                   a run folder per row
OUT/report/                  the page, tables and figures
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lungsev.config import load_model
from lungsev.errors import ConfigError, LungsevError
from lungsev.train.configs import merged
from lungsev.train.console import say, warn
from lungsev.train.data.datasets.labelled import find_labelled
from lungsev.train.data.sources import find_dataset
from lungsev.train.evaluation.reporting import write_report
from lungsev.train.runs import Run, made_with, open_run
from lungsev.train.settings import Settings
from lungsev.train.tasks.alignment import AlignSettings, run_alignment
from lungsev.train.tasks.cross_validation import run_grading
from lungsev.train.tasks.handcrafted import run_handcrafted
from lungsev.train.tasks.pretraining import PretrainSettings, run_pretraining
from lungsev.train.tasks.recipe import GRADE_LAYOUTS, MASK_LAYOUTS, run_stage
from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation
from lungsev.train.tasks.severity import SeverityRunSettings, resolve
from lungsev.train.tasks.soup import SoupSettings, run_soup
from lungsev.train.tasks.table_settings import Kind, RowSettings, TableSettings, lungs_document, row_document

Work = Callable[[Any, Run], dict[str, Any]]
KINDS: dict[Kind, tuple[type[Settings], Work]] = {
    "grading": (SeverityRunSettings, run_grading),
    "soup": (SoupSettings, run_soup),
    "pretrain": (PretrainSettings, run_pretraining),
    "handcrafted": (SeverityRunSettings, run_handcrafted),
}


@dataclass(frozen=True)
class TableRequest:
    """What the command line adds to a table.

    Attributes:
        data: Folder of the dataset, or the folder of all datasets where rows name theirs.
        out: Folder of the rows.
        alignment: Finished run of `align`; None: the table's own, or the newest.
        overrides: Dotted settings that go over every row that trains.
        weights: File of an image encoder's weights, or a run whose backbone rows start from.
    """

    data: Path | None
    out: Path
    alignment: Path | None = None
    overrides: dict[str, Any] | None = None
    weights: Path | None = None


def run_table(table: TableSettings, names: Sequence[str], request: TableRequest) -> Path:
    """Train each row that is not finished; a row that fails stops only those that start from it.

    Returns:
        The report's page; the folder of the rows where none of them is shown in it.

    Raises:
        LungsevError: A row could not be run; those that could are finished, and reported on.
    """
    rows = table.chosen(list(names), request.weights is not None)
    alignment = _alignment(table, request)
    failed: dict[str, LungsevError] = {}
    for place, row in enumerate(rows, start=1):
        say(f"{table.title}, row {place} of {len(rows)}: {row.name}")
        try:
            _require_sources(row, failed)
            _run_row(row, settings_of_row(table, row, request, alignment), Run(request.out / row.name))
        except LungsevError as error:
            warn(f"{row.name}: {error}")
            failed[row.name] = error
    finished = [request.out / row.name for row in rows if row.shown and row.name not in failed]
    if failed and not finished:
        raise next(iter(failed.values()))
    page = write_report(finished, request.out / "report", table.title) if finished else request.out
    if failed:
        name, reason = next(iter(failed.items()))
        raise LungsevError(
            f"{len(failed)} of {len(rows)} rows could not be run, {name} because: {reason}; {page} shows the others, "
            "and the same command continues with those that are missing"
        )
    return page


def _require_sources(row: RowSettings, failed: dict[str, LungsevError]) -> None:
    for source in (row.starts_from, row.encoder_of):
        if source in failed:
            raise LungsevError(f"it starts from {source}, which could not be run")


def _run_row(row: RowSettings, settings: Settings, run: Run) -> None:
    if run.is_finished:
        if not made_with(run, settings):
            raise ConfigError(f"{run.path} is finished with other settings; give another --out")
        run.remove_checkpoints()
        return
    KINDS[row.kind][1](settings, open_run("table", settings, out=run.path))


def _alignment(table: TableSettings, request: TableRequest) -> Path | None:
    """Return the run that aligns all images: the one named, the table's own, or that of the run they start from."""
    named = (request.overrides or {}).get("alignment")
    if request.alignment is not None or named is not None:
        return request.alignment or Path(str(named))
    if table.own_lungs:
        return _own_alignment(table, request)
    return alignment_of(request.weights) if request.weights is not None else None


def alignment_of(run: Path) -> Path | None:
    """Return the alignment that a run was trained with, so that others see the same crops; None of a file."""
    found = Run(run).settings().get("alignment") if (run / "config.yaml").is_file() else None
    return Path(found) if found else None


def settings_of_row(table: TableSettings, row: RowSettings, request: TableRequest, alignment: Path | None) -> Settings:
    """Return all settings of a row.

    Args:
        table: That has the row.
        row: Any of its rows.
        request: What the command line adds.
        alignment: Run that aligns the images; None: as the row's settings say, or the newest.

    Raises:
        ConfigError: They are not valid, or a dataset is missing.
    """
    document = row_document(table, row)
    given = {key: value for key, value in (request.overrides or {}).items() if value is not None}
    if row.needs_weights:
        given["initial.encoder_weights"] = str(request.weights)
    if row.starts_from is not None:
        given["initial.source"] = str(request.out / row.starts_from)
    if row.encoder_of is not None:
        given["initial.encoder_weights"] = str(request.out / row.encoder_of / "network.pt")
    if alignment is not None:
        given["alignment"] = str(alignment)
    given.update(_data_of(table, row, request))
    if row.needs_weights:
        given = _split_of_start(Path(str(request.weights)), Path(given["data.root"])) | given
    if row.kind == "pretrain":
        given["lungs"] = str(find_dataset(_root(request), "lungs", MASK_LAYOUTS)[0])
    if row.kind == "grading" and row.shown:
        document = merged({"seeds": table.seeds}, document)
    else:  # one network, which other rows start from, or a kind without seeds
        given.pop("seeds", None)
    model = KINDS[row.kind][0]
    path = Path(f"{row.config.removesuffix('.yaml')}.yaml")
    settings: Any = load_model(model, path, _fields_of(model, given), partial(_as_read, document))
    return resolve(settings) if isinstance(settings, SeverityRunSettings) else settings


def _split_of_start(start: Path, root: Path) -> dict[str, Any]:
    """Measure a row on what the joint run it starts from held back of the same dataset: all else has trained it."""
    stated = start / "sources" / root.name / "splits.json"
    return {"data.split.file": str(stated)} if stated.is_file() else {}


def _as_read(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Stand in for reading `path`, which messages name."""
    return document


def _fields_of(model: type[Settings], given: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a kind of row has no setting for, as the seeds of a pre-training."""
    return {key: value for key, value in given.items() if key.partition(".")[0] in model.model_fields}


def _data_of(table: TableSettings, row: RowSettings, request: TableRequest) -> dict[str, Any]:
    root = _root(request)
    if row.kind == "pretrain":
        found = find_labelled(root)
        if found is None:
            raise ConfigError(
                f"{root} and the folders below it hold no labels.csv, expected images with one label each"
            )
        return {"data.root": str(found), "data.exclude_patients_of": str(_graded(request))}
    if row.dataset is None:
        return {"data.root": str(root), "data.layout": table.layout}
    return {"data.root": str(find_dataset(root, "severity", (row.dataset,))[0]), "data.layout": row.dataset}


def _root(request: TableRequest) -> Path:
    if request.data is None:
        raise ConfigError("no dataset given: name its folder with --data DIR")
    return request.data


def _graded(request: TableRequest) -> Path:
    return find_dataset(_root(request), "severity", GRADE_LAYOUTS)[0]


def _own_alignment(table: TableSettings, request: TableRequest) -> Path:
    """Train segmentation and alignment on masks of patients who are not graded, once for all rows."""
    masks, layout = find_dataset(_root(request), "lungs", MASK_LAYOUTS)
    data = {
        "data.root": str(masks),
        "data.layout": layout.name,
        "data.exclude_patients_of": str(_graded(request)),
        "data.cache": (request.overrides or {}).get("data.cache"),
    }
    folder = request.out / "lungs"
    stages: tuple[tuple[str, Any, Work, dict[str, Any]], ...] = (
        ("segment", SegmentSettings, run_segmentation, {}),
        ("align", AlignSettings, run_alignment, {"segmentation": str(folder / "segment")}),
    )
    for name, model, work, more in stages:
        document = lungs_document(table, name)
        settings = load_model(model, Path("model.yaml"), {**data, **more}, partial(_as_read, document))
        run_stage(Run(folder), name, settings, work)
    return folder / "align"
