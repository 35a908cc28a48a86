"""Options of the training commands, each set a dataclass from which typer makes the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

Scheme = Annotated[str | None, typer.Option("--scheme", help="Score scheme: a built-in name or a YAML file.")]
DataFolder = Annotated[Path | None, typer.Option("--data", "-d", help="Folder of the dataset, as it was published.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of this process; loaders (data.workers) have one each."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON; messages go to standard error.")]

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """Of every command that trains into one run folder."""

    data: DataFolder = None
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="YAML file, or the name of a built-in config (configs/train).")
    ] = None
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; default runs/<command>/<time>.")] = None
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Continue this unfinished run, with its own settings.")
    ] = None
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not continue an unfinished run of the same settings.")] = (
        False
    )
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting, e.g. loop.batch_size=8; repeatable.")
    ] = None
    threads: Threads = None
    as_json: Json = False

    def overrides(self) -> dict[str, Any]:
        """Return the settings that options of their own give, under dotted keys; None where an option is not given."""
        return {"data.root": _text(self.data), "loop.threads": self.threads}


@dataclass(frozen=True, kw_only=True)
class ModelOptions(StageOptions):
    """Of `model`, which finds its datasets below one folder."""

    def overrides(self) -> dict[str, Any]:
        """As above."""
        stages = {f"{stage}.loop.threads": self.threads for stage in ("segment", "align", "pretrain", "severity")}
        return {"data": _text(self.data), **(stages if self.threads else {})}


@dataclass(frozen=True, kw_only=True)
class TrainOptions(StageOptions):
    """Of a command with one training loop."""

    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs.")] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of training (the split has its own).")] = None

    def overrides(self) -> dict[str, Any]:
        """As above."""
        return {**super().overrides(), "loop.epochs": self.epochs, "loop.seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class AlignedOptions(TrainOptions):
    """Of a command that needs aligned images."""

    lungs: Annotated[
        str | None,
        typer.Option("--lungs", help="Folder of lung masks to train the earlier stages from; `synthetic` for a trial."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class JointOptions(AlignedOptions):
    """Of `joint`, whose config names datasets below one folder."""

    fold: Annotated[
        str | None, typer.Option("--fold", help="Fold of the sources whose protocol is kfold: 0, 1, ... or all.")
    ] = None

    def overrides(self) -> dict[str, Any]:
        """As above."""
        return {
            "data": _text(self.data),
            "loop.threads": self.threads,
            "loop.epochs": self.epochs,
            "loop.seed": self.seed,
            "fold": int(self.fold) if self.fold and self.fold.isdigit() else self.fold,
        }


@dataclass(frozen=True, kw_only=True)
class GradingOptions(AlignedOptions):
    """Of a command that trains grades."""

    protocol: Annotated[
        str | None, typer.Option("--protocol", help="pafe, leak_free, kfold, holdout, column or all.")
    ] = None
    fold: Annotated[str | None, typer.Option("--fold", help="Fold of protocol kfold: 0, 1, ... or all.")] = None
    seeds: Annotated[int | None, typer.Option("--seeds", help="Trainings of other seeds, measured together.")] = None

    def overrides(self) -> dict[str, Any]:
        """As above."""
        fold = self.fold
        return {
            **super().overrides(),
            "data.split.protocol": self.protocol or ("kfold" if fold else None),
            "data.split.fold": int(fold) if fold and fold.isdigit() else fold,
            "seeds": self.seeds,
        }


@dataclass(frozen=True, kw_only=True)
class CustomOptions(GradingOptions):
    """Of `custom`."""

    scheme: Scheme = None

    def overrides(self) -> dict[str, Any]:
        """As above."""
        return {**super().overrides(), "scheme": self.scheme}


@dataclass(frozen=True, kw_only=True)
class InhaOptions(GradingOptions):
    """Of `inha`, whose dataset has no name of its own to be recognised by."""

    def overrides(self) -> dict[str, Any]:
        """As above."""
        return {**super().overrides(), "data.layout": "inha"}


def command(app: typer.Typer, omit: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Register a function of one dataclass of options, named `options`, as a command of that dataclass's fields.

    Args:
        app: Takes the command.
        omit: Fields that keep their defaults and are no options of this command.
    """

    def register(function: Command) -> Command:
        kind = get_type_hints(function)["options"]
        shown = [field for field in fields(kind) if field.name not in omit]
        hints = get_type_hints(kind, include_extras=True)

        def run(**given: Any) -> None:
            function(kind(**given))

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter(
                field.name,
                keyword,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=hints[field.name],
            )
            for field in shown
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {field.name: hints[field.name] for field in shown}
        app.command(function.__name__, help=inspect.getdoc(function))(run)
        return function

    return register


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
