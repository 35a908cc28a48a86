"""Every row of a table is a run of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lungsev.config import load_model
from lungsev.errors import ConfigError, LungsevError
from lungsev.train.configs import built_in_or_path, read_config
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.tasks import tables as rows_of_tables
from lungsev.train.tasks.severity import SeverityRunSettings
from lungsev.train.tasks.table_settings import TableSettings, lungs_document, read_table, row_document
from lungsev.train.tasks.tables import TableRequest, run_table

SettingsMaker = Callable[..., SeverityRunSettings]
NAMES = ("1", "1_corrected", "2", "2_corrected", "public_1", "public_1_small", "public_2", "public_2_small")


def settings_of(config: str) -> SeverityRunSettings:
    return load_model(SeverityRunSettings, built_in_or_path(config), None, read_config)


def table_of(*rows: dict[str, Any], **more: Any) -> TableSettings:
    return TableSettings.model_validate({"title": "A table", "rows": rows, **more})


@pytest.fixture
def tiny_config(severity_settings: SettingsMaker, tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(json.loads(severity_settings().model_dump_json())))
    return str(path)


def request_for(tiny_config: str, out: Path) -> TableRequest:
    return TableRequest(Path(yaml.safe_load(Path(tiny_config).read_text())["data"]["root"]), out)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_every_table_loads_with_its_settings(name: str) -> None:
    table = read_table(name)
    for row in table.chosen([], with_weights=True):
        model = rows_of_tables.KINDS[row.kind][0]
        assert load_model(model, Path(row.config), None, lambda path, row=row: row_document(table, row)) is not None  # type: ignore[misc]


def test_a_row_differs_from_the_recipe_in_what_it_says() -> None:
    recipe, row = settings_of("brixia/paper"), settings_of("brixia/paper_resnet18_sn")
    assert (row.network.backbone, row.network.position_aware) == ("resnet18", False)
    assert row.optimizer == recipe.optimizer
    assert row.network.model_copy(update={"backbone": "resnet34", "position_aware": True}) == recipe.network
    assert settings_of("inha/linear_probe_resnet50").initial.freeze == "all_but_heads"
    assert settings_of("brixia/bsnet_ensemble").ensemble == 5


def test_the_earlier_stages_of_a_table_are_those_of_its_rows() -> None:
    published, corrected = (lungs_document(read_table(name), "align") for name in ("1", "1_corrected"))
    assert (published["network"]["kind"], published["objective"]) == ("convolutions", "mask")
    assert corrected == read_config(built_in_or_path("model"))["align"]
    assert lungs_document(read_table("public_1_small"), "segment")["loop"]["epochs"] == 6


def test_the_papers_tables_are_there_as_published_and_corrected() -> None:
    for number, row, published, corrected in (
        ("1", "resnet34", "brixia/reference_resnet34", "brixia/paper_resnet34"),
        ("2", "linear_probe_resnet18_sn", "inha/reference_linear_probe_resnet18_sn", "inha/linear_probe_resnet18_sn"),
    ):
        first, second = ({r.name: r.config for r in read_table(number + more).rows} for more in ("", "_corrected"))
        assert list(first) == list(second)
        assert (first[row], second[row]) == (published, corrected)


def test_the_small_tables_are_the_full_ones_with_less_of_everything() -> None:
    for full, small in (("public_1", "public_1_small"), ("public_2", "public_2_small")):
        one, other = read_table(full), read_table(small)
        assert one.rows == other.rows
        assert one.seeds >= other.seeds > 1
        for row in one.rows:
            before, after = row_document(one, row), row_document(other, row)
            assert after.get("loop", {}).get("epochs", 99) <= before.get("loop", {}).get("epochs", 99)
    document = row_document(read_table("public_2_small"), read_table("public_2_small").rows[2])
    assert (document["loop"]["epochs"], document["network"]["crop_px"]) == (3, 128)


def test_rows_are_chosen_by_name_together_with_those_they_start_from() -> None:
    assert [row.name for row in read_table("1").chosen(["bsnet"], False)] == ["bsnet"]
    chosen = read_table("public_2").chosen(["probe_pafe"], False)
    assert [row.name for row in chosen] == ["source_ralo_pafe", "probe_pafe"]
    assert "cxr_clip_resnet50" not in {row.name for row in read_table("1").chosen([], False)}
    with pytest.raises(ConfigError, match="row 'bsnett' is unknown; Table 1: Brixia, as published has"):
        read_table("1").chosen(["bsnett"], False)
    with pytest.raises(ConfigError, match=r"table '3' is unknown; .*, public_2_small"):
        read_table("3")
    upside_down = table_of({"name": "a", "config": "x", "starts_from": "b"}, {"name": "b", "config": "x"})
    with pytest.raises(ConfigError, match="row a of A table starts from b, which is not above it"):
        upside_down.chosen([], False)


def note_report(paths: Sequence[Path], out: Path, title: str) -> Path:
    """Stand in for the report, which has tests of its own."""
    out.mkdir(parents=True, exist_ok=True)
    page = out / "report.html"
    page.write_text(f"{title}: {', '.join(path.name for path in paths)}")
    return page


@pytest.fixture(autouse=True)
def _reports_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_of_tables, "write_report", note_report)


def test_a_failing_row_stops_those_that_start_from_it_and_no_other(tiny_config: str, tmp_path: Path) -> None:
    rows: tuple[dict[str, Any], ...] = (
        {"name": "broken", "config": tiny_config, "set": {"network": {"backbone": "resnet43"}}},
        {"name": "heir", "config": tiny_config, "starts_from": "broken"},
        {"name": "whole", "config": tiny_config},
    )
    request = request_for(tiny_config, tmp_path / "table")
    with pytest.raises(LungsevError, match="2 of 3 rows could not be run, broken because: backbone 'resnet43'"):
        run_table(table_of(*rows), [], request)
    assert (tmp_path / "table" / "report" / "report.html").read_text() == "A table: whole"
    done = (tmp_path / "table" / "whole" / "network.pt").stat().st_mtime_ns
    run_table(table_of(rows[2]), [], request)
    assert (tmp_path / "table" / "whole" / "network.pt").stat().st_mtime_ns == done
    changed = table_of({**rows[2], "set": {"loop": {"seed": 5}}})
    with pytest.raises(ConfigError, match="is finished with other settings; give another --out"):
        run_table(changed, [], request)


def test_the_row_without_a_network_is_measured_on_the_folds_of_the_others(tiny_config: str, tmp_path: Path) -> None:
    folds = {"data": {"split": {"protocol": "kfold", "fold": "all", "folds": 2}}}
    row = {"name": "handcrafted", "kind": "handcrafted", "config": tiny_config, "set": folds}
    run_table(table_of(row), [], request_for(tiny_config, tmp_path / "table"))
    found = Predictions.load(tmp_path / "table" / "handcrafted" / "predictions-test.json")
    assert len(found.names) == len(set(found.names)) == 14
    np.testing.assert_allclose(found.probabilities.sum(axis=-1), 1, atol=1e-5)
    assert ((found.probabilities > 1e-6).sum(axis=-1) <= 2).all()
