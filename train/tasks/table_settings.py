"""Tables of results as YAML, `configs/tables/*.yaml`: which rows, trained how, on what, starting from what."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.train.ablation.decision import DecisionSettings
from lungsev.train.configs import built_in_or_path, merged, read_config
from lungsev.train.settings import Settings

Kind = Literal["grading", "soup", "pretrain", "handcrafted"]


class RowSettings(Settings):
    """One row."""

    name: str  # of its run folder
    kind: Kind = "grading"
    config: str  # built-in training config or path
    section: str | None = None  # of that config, where it holds several stages
    dataset: str | None = None  # layout looked for below --data; None: --data is the dataset
    starts_from: str | None = None  # an earlier row whose backbone, projection and encoder are taken over
    encoder_of: str | None = None  # an earlier row that pre-trained the backbone
    needs_weights: bool = False  # starts from those of --weights: an image encoder, or the backbone of a run
    arm: str = ""  # what the row is in the table's decision; rows of one arm are rates that validation chooses from
    shown: bool = True  # False: other rows start from it, the report leaves it out; one seed is enough
    set: dict[str, Any] = Field(default_factory=dict)


class TableSettings(Settings):
    """A table. Over a row's config go `common` of its kind, its dataset and its name, its `set`, the command line."""

    title: str
    folder: str | None = None  # of the rows below runs/; tables that share rows share it
    layout: str | None = None  # of --data, where it cannot be recognised
    own_lungs: bool = False  # trains segment and align in its folder, from masks below --data, not of graded patients
    lungs: dict[str, dict[str, Any]] = Field(default_factory=dict)  # segment and align, over their base or lungs.yaml
    common: dict[str, dict[str, Any]] = Field(default_factory=dict)  # by kind, layout or name of the row
    seeds: int = 1
    decision: DecisionSettings | None = None  # the rule that compares the arms, written before the run
    rows: tuple[RowSettings, ...]

    def chosen(self, names: list[str], with_weights: bool) -> tuple[RowSettings, ...]:
        """Return all rows or those named, each after the rows it starts from.

        Raises:
            ConfigError: There is no such row, a row starts from one that is not above it, or weights were not given.
        """
        by_name = {row.name: row for row in self.rows}
        for name in names:
            if name not in by_name:
                raise ConfigError(f"row {name!r} is unknown; {self.title} has {', '.join(by_name)}")
        wanted = set(names) or {row.name for row in self.rows if row.shown and (with_weights or not row.needs_weights)}
        for row in reversed(self.rows):
            if row.name in wanted:
                wanted |= {name for name in (row.starts_from, row.encoder_of) if name is not None}
        rows = tuple(row for row in self.rows if row.name in wanted)
        if not with_weights and (not rows or any(row.needs_weights for row in rows)):
            raise ConfigError(
                f"{', '.join(names) or 'every row'} of {self.title} starts from weights; name their file, or the run "
                "whose backbone they are, with --weights PATH"
            )
        above: set[str] = set()
        for row in rows:
            missing = [n for n in (row.starts_from, row.encoder_of) if n is not None and n not in above]
            if missing:
                raise ConfigError(f"row {row.name} of {self.title} starts from {missing[0]}, which is not above it")
            above.add(row.name)
        return rows


def read_table(name: str) -> TableSettings:
    """Read a table by its built-in name, e.g. `1`, or by the path of a YAML file.

    Raises:
        ConfigError: There is no such table, or it is not valid.
    """
    return load_model(
        TableSettings, built_in_or_path(name, "tables"), None, lambda path: read_config(path, kind="tables")
    )


def row_document(table: TableSettings, row: RowSettings) -> dict[str, Any]:
    """Return a row's settings: its config, `common` over it, `set` over both.

    Raises:
        ConfigError: The config is unknown or lacks the section.
    """
    document = read_config(built_in_or_path(row.config))
    if row.section is not None:
        if row.section not in document:
            raise ConfigError(f"row {row.name}: config {row.config} has no section {row.section}")
        document = document[row.section]
    for key in (row.kind, row.dataset or "", row.name):
        document = merged(document, table.common.get(key, {}))
    return merged(document, row.set)


def lungs_document(table: TableSettings, stage: str) -> dict[str, Any]:
    """Return the settings of `segment` or `align`: the table's over those of its base, or of lungs.yaml."""
    own = dict(table.lungs.get(stage, {}))
    base = own.pop("base", None)
    below = read_config(built_in_or_path(base)) if base is not None else read_config(built_in_or_path("lungs"))[stage]
    return merged(below, own)


def default_out(name: str, table: TableSettings) -> Path:
    """Return the folder of the rows."""
    return Path("runs") / (table.folder or f"table-{Path(name).stem}")
