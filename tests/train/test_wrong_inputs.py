"""Wrong configs, options and tables stop in one line that says what was found and what is expected."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.train import cli

TABLE = "image,patient,R,L\na.png,p1,0,1\nb.png,p2,1,2\nc.png,p3,2,0\n"
SCHEME = """name: halves
title: Halves
source: test
grades: [0, 1, 2]
grade_names: [clear, some, ill]
regions:
  - {code: R, name: right, side: right, box: [0, 0, 1, 0.5]}
  - {code: L, name: left, side: left, box: [0, 0.5, 1, 1]}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    root.mkdir()
    (root / "t.csv").write_text(TABLE)
    (root / "scheme.yaml").write_text(SCHEME)
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        noise = np.random.default_rng(seed).integers(0, 255, (48, 48), dtype=np.uint8)
        cv2.imwrite(str(root / name), noise)
    return root


def stopped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run the command and return its one line of error."""
    monkeypatch.setattr(sys, "argv", ["lungsev-train", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 1
    assert error.startswith("lungsev-train: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("loop: {epochs: many}", "loop.epochs: found 'many', expected a valid integer"),
        ("loop: {epochs: [1, 2]}", "loop.epochs: found [1, 2], expected a valid integer"),
        ("optimizer: {lr: -1}", "optimizer.lr: found -1, expected greater than 0"),
        ("optimizer: {rate: 1}", "optimizer.rate: unknown key; known here: name, lr"),
        ("optimizer: 5", "optimizer: found 5, expected a mapping of settings"),
        ("readers: both", "readers: found 'both', expected 'first', 'soft' or 'random'"),
        ("data: {split: {fold: two}}", "data.split.fold: found 'two', expected a valid integer or 'all'"),
        ("loop: {epochs: x, batch_size: -1}", "expected a valid integer (and 1 more)"),
        ("loop:\n\tepochs: 3\n", "line 2, column 1: found a tab; indent with spaces"),
        ("loop: {epochs: 3}\nloop: {ema: 0.5}\n", "line 2, column 1: loop comes twice; remove one"),
        ("loop: {epochs: 3\nfoo", "is not valid YAML: line 2, column 4: expected ',' or '}'"),
        ("- a\n", "holds a list, expected a mapping of settings"),
    ],
)
def test_a_wrong_config_names_the_key_and_what_it_expects(
    mine: Path, text: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = mine / "config.yaml"
    config.write_text(text)
    assert reason in stopped(monkeypatch, capsys, "custom", "--data", mine, "--config", config)


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("loop.epochs", "expected KEY=VALUE"),
        ("loop.epochs=[1", "the value of loop.epochs is not valid YAML"),
        ("data.split.protocol=half", "data.split.protocol: found 'half', expected 'pafe', 'leak_free', 'kfold'"),
    ],
)
def test_a_wrong_assignment_is_named(
    mine: Path, assignment: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in stopped(monkeypatch, capsys, "custom", "--data", mine, "--set", assignment)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("t.csv", "", "t.csv is empty, expected a header row"),
        ("t.csv", "image,patient,R,L\n", "t.csv is only a header row"),
        ("t.csv", TABLE.replace("image", "picture"), "no column that names the image; expected one of filename"),
        ("t.csv", TABLE.replace(",L\n", ",Left\n"), "no columns for the regions R, L of scheme halves"),
        ("t.csv", TABLE.replace("R,L", "R,R"), "t.csv has the column R twice"),
        ("t.csv", TABLE + '"d.png,p4,1,1\n', "look for a stray quotation mark"),
        ("t.csv", "image,R,L\na.png,7,8\n", "with a grade that is not of 0-2, left out: 1 (a.png row 2 column R: 7)"),
        ("u.csv", TABLE, "expected one .csv in"),
        ("scheme.yaml", SCHEME.replace("[0, 1, 2]", "3"), "scheme.yaml: grades: found 3, expected a list"),
        ("scheme.yaml", SCHEME.replace("1, 0.5]", "1, 5]"), "found 5, expected less than or equal to 1"),
    ],
)
def test_a_wrong_table_or_scheme_is_named(
    mine: Path, file: str, text: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / file).write_text(text)
    assert reason in stopped(monkeypatch, capsys, "data", "check", mine, "--workers", "1")
