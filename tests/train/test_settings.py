"""Settings refuse what they do not know and what cannot be."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lungsev.train import settings
from lungsev.train.settings import DataSettings, LoopSettings, SplitSettings


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (4, 3), (64, 8)])
def test_loaders_leave_one_core_free_and_are_at_most_eight(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(settings, "usable_cpus", lambda: cores)
    assert DataSettings().num_workers == workers
    assert DataSettings(workers=5).num_workers == 5


def test_the_loaders_of_all_processes_on_a_machine_share_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "usable_cpus", lambda: 16)
    for processes, workers in {"2": 7, "4": 3, "16": 0, "32": 0}.items():
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert DataSettings().num_workers == workers


def test_unknown_keys_and_impossible_values_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        LoopSettings.model_validate({"epoch": 3})
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        LoopSettings(epochs=0)
    with pytest.raises(ValidationError, match="less than 1"):
        SplitSettings(test=1.0)
    with pytest.raises(ValidationError, match="frozen"):
        LoopSettings().epochs = 4  # type: ignore[misc]
