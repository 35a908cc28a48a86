"""Every row of the paper's tables is a run of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.config import load_model
from lungsev.errors import ConfigError, LungsevError
from lungsev.train.configs import built_in_configs, built_in_or_path, read_config
from lungsev.train.evaluation.reporting import tables
from lungsev.train.tasks.paper_tables import ROWS, chosen_rows, run_table
from lungsev.train.tasks.severity import SeverityRunSettings

SettingsMaker = Callable[..., SeverityRunSettings]


def settings_of(config: str) -> SeverityRunSettings:
    return load_model(SeverityRunSettings, built_in_or_path(config), None, read_config)


def test_every_row_is_a_config_and_differs_from_the_recipe_in_what_it_says() -> None:
    assert set(ROWS[1]) | set(ROWS[2]) <= set(built_in_configs())
    recipe, row = settings_of("brixia/paper"), settings_of("brixia/paper_resnet18_sn")
    assert (row.network.backbone, row.network.position_aware) == ("resnet18", False)
    assert row.optimizer == recipe.optimizer
    assert row.network.model_copy(update={"backbone": "resnet34", "position_aware": True}) == recipe.network
    assert settings_of("inha/linear_probe_resnet50").initial.freeze == "all_but_heads"
    assert settings_of("brixia/bsnet_ensemble").ensemble == 5


def test_rows_are_chosen_by_name() -> None:
    assert chosen_rows(1, ["bsnet"]) == ("brixia/bsnet",)
    assert len(chosen_rows(2, [])) == 9
    with pytest.raises(ConfigError, match="row 'bsnett' is unknown; table 1 has"):
        chosen_rows(1, ["bsnett"])
    with pytest.raises(ConfigError, match="expected 1"):
        chosen_rows(3, [])


def test_a_failing_row_stops_no_other_and_a_finished_one_is_kept(
    severity_settings: SettingsMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "RESAMPLES", 20)
    overrides = {"bsnet": {"network.backbone": "resnet43"}, "paper_resnet18": {}, "paper_resnet18_sn": {"loop.seed": 1}}

    def settings_of_row(row: str) -> SeverityRunSettings:
        return severity_settings(overrides[row.rpartition("/")[2]])  # type: ignore[arg-type]

    rows = chosen_rows(1, list(overrides))
    with pytest.raises(LungsevError, match="1 of 3 rows could not be run, bsnet because: backbone 'resnet43'"):
        run_table(1, rows, settings_of_row, tmp_path / "table")
    assert (tmp_path / "table" / "report" / "report.html").is_file()
    done = (tmp_path / "table" / "paper_resnet18" / "network.pt").stat().st_mtime_ns
    run_table(1, rows[1:], settings_of_row, tmp_path / "table")
    assert (tmp_path / "table" / "paper_resnet18" / "network.pt").stat().st_mtime_ns == done
    overrides["paper_resnet18"] = {"loop.seed": 5}
    with pytest.raises(ConfigError, match="is finished with other settings; give another --out"):
        run_table(1, rows[1:2], settings_of_row, tmp_path / "table")
