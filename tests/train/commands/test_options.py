"""A dataclass of options is a command line, and says which settings it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from lungsev.config import load_model
from lungsev.train.commands.options import (
    CustomOptions,
    GradingOptions,
    InhaOptions,
    ModelOptions,
    StageOptions,
    command,
)
from lungsev.train.tasks.recipe import ModelSettings


def given(options: StageOptions) -> dict[str, object]:
    return {key: value for key, value in options.overrides().items() if value is not None}


def test_only_options_that_are_given_override_settings() -> None:
    assert given(GradingOptions()) == {}
    assert given(GradingOptions(data=Path("d"), epochs=3, seed=0)) == {
        "data.root": "d",
        "loop.epochs": 3,
        "loop.seed": 0,
    }
    assert ModelOptions(data=Path("d")).overrides() == {"data": "d"}
    assert given(GradingOptions(threads=2)) == {"loop.threads": 2}
    threads = {f"{stage}.loop.threads": 2 for stage in ("segment", "align", "pretrain", "severity")}
    assert given(ModelOptions(threads=2)) == threads
    load_model(ModelSettings, None, threads)  # they are settings
    assert given(CustomOptions(scheme="ralo")) == {"scheme": "ralo"}
    assert given(GradingOptions(seeds=3)) == {"seeds": 3}
    assert given(InhaOptions()) == {"data.layout": "inha"}


@pytest.mark.parametrize(("fold", "number"), [("2", 2), ("all", "all")])
def test_a_fold_asks_for_cross_validation_unless_a_protocol_is_named(fold: str, number: object) -> None:
    assert given(GradingOptions(fold=fold)) == {"data.split.protocol": "kfold", "data.split.fold": number}
    assert given(GradingOptions(fold=fold, protocol="pafe"))["data.split.protocol"] == "pafe"


def test_a_command_takes_the_fields_of_its_options_but_those_it_omits() -> None:
    app, called = typer.Typer(), []

    @command(app, omit=("fresh",))
    def paint(options: CustomOptions) -> None:
        """Paint it."""
        called.append(options)

    app.command("other")(lambda: None)
    run = CliRunner().invoke
    assert run(app, ["paint", "--scheme", "ralo", "--set", "a=1", "--set", "b=2"]).exit_code == 0
    assert called == [CustomOptions(scheme="ralo", assign=["a=1", "b=2"])]
    assert run(app, ["paint", "--fresh"]).exit_code == 2
    assert "Paint it." in run(app, ["paint", "--help"]).output


def test_an_argument_is_required_where_its_field_has_no_default() -> None:
    from dataclasses import dataclass

    app = typer.Typer()

    @dataclass(frozen=True, kw_only=True)
    class Numbered(GradingOptions):
        number: Annotated[int, typer.Argument()]

    globals()["Numbered"] = Numbered  # type hints are looked up in the module

    @command(app)
    def count(options: Numbered) -> None:
        """Count."""
        assert options.number == 4

    assert CliRunner().invoke(app, ["4"]).exit_code == 0
    assert CliRunner().invoke(app, []).exit_code == 2
