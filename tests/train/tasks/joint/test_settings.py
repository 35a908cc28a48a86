"""Settings that would train nothing, or in no order, are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lungsev.train.tasks.joint.settings import FOLD, LINK, JointSettings, TieSettings

RALO = {"root": "ralo", "schemes": ["ralo"]}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "at least 1"),
        ([{"root": "ralo"}], "teaches nothing"),
        ([{**RALO, "share": 0}], "its share must be above 0"),
        ([RALO, {**RALO, "root": "other/ralo"}], "called alike"),
    ],
)
def test_sources_that_cannot_be_trained_are_refused(sources: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JointSettings.model_validate({"sources": sources})


def test_a_link_rises_with_extent_and_with_opacity() -> None:
    assert TieSettings().link == LINK
    for link in (((0, 1), (1, 0)), ((0, 2), (0, 1)), ((0, 1), (0,))):
        with pytest.raises(ValidationError, match="link"):
            TieSettings.model_validate({"link": link})


def test_each_fold_starts_from_its_own_runs_and_learns_its_own_pseudo_grades() -> None:
    source = {**RALO, "pseudo": {"file": f"zones/{FOLD}/grades.json"}}
    settings = JointSettings.model_validate({"sources": [source], "start": ["trunk", f"zones/{FOLD}"]})
    changed = settings.replacing(FOLD, "fold-2")
    assert changed.starts == (Path("trunk"), Path("zones/fold-2"))
    pseudo = changed.sources[0].pseudo
    assert pseudo is not None
    assert pseudo.file == Path("zones/fold-2/grades.json")
    assert JointSettings.model_validate({"sources": [RALO]}).replacing(FOLD, "all").starts == ()


def test_only_sources_in_folds_get_the_fold_of_the_run() -> None:
    sources = [{**RALO, "split": {"protocol": "kfold"}}, {**RALO, "name": "held", "split": {"protocol": "holdout"}}]
    settings = JointSettings.model_validate({"sources": sources, "fold": 3, "data": "data"})
    folds = [settings.data_of(source).split.fold for source in settings.sources]
    assert folds == [3, 0]
    assert settings.data_of(settings.sources[0]).root == Path("data/ralo")
