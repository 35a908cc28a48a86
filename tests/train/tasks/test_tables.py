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
from lungsev.train.tasks.tables import TableRequest, alignment_of, run_table, settings_of_row

SettingsMaker = Callable[..., SeverityRunSettings]
NAMES = (
    *("1", "1_corrected", "2", "2_corrected"),
    *("public_1", "public_1_small", "public_2", "public_2_small", "pafe_or_not", "pafe_or_not_small"),
)


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
    assert corrected == read_config(built_in_or_path("lungs"))["align"]
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


def test_the_arms_of_the_encoders_ablation_differ_in_the_arm_and_the_rate_alone() -> None:
    for name, crop_px, epochs in (("pafe_or_not", 256, 40), ("pafe_or_not_small", 128, 10)):
        table = read_table(name)
        assert table.decision is not None
        assert (table.decision.margin, table.decision.cost, table.seeds) == (0.02, 0.1, 3)
        groups: dict[tuple[str | None, Any], list[tuple[str, float]]] = {}
        rest = []
        for row in table.rows:
            settings = load_model(SeverityRunSettings, None, row_document(table, row))
            network = settings.network
            arm = {"position_aware": network.position_aware, "dim": network.dim, "context": network.context}
            assert (
                arm
                == {
                    "SN": {"position_aware": False, "dim": 0, "context": False},
                    "PAFE": {"position_aware": True, "dim": 256, "context": False},
                    "CTX": {"position_aware": False, "dim": 0, "context": True},
                }[row.arm]
            )
            assert (network.crop_px, network.head, network.hidden, network.heads) == (crop_px, "mlp", 64, 8)
            assert (settings.loop.epochs, settings.loop.ema, settings.loop.batch_size) == (epochs, 0.97, 32)
            assert (settings.optimizer.backbone_lr_factor, settings.data.split.validation) == (0.3, 0.15)
            groups.setdefault((row.dataset, settings.scheme), []).append((row.arm, settings.optimizer.lr))
            same = settings.model_dump(exclude={"network": set(arm), "optimizer": {"lr"}})
            rest.append(((row.dataset, settings.scheme), same))
        assert set(groups) == {("cohen", None), ("ralo", "ralo"), ("ralo", "ralo_opacity")}
        expected = {(arm, rate) for arm in ("SN", "PAFE", "CTX") for rate in (5e-4, 1.5e-3)}
        assert all(set(found) == expected and len(found) == 6 for found in groups.values())
        for group in groups:
            settings_of_group = [same for where, same in rest if where == group]
            assert all(same == settings_of_group[0] for same in settings_of_group)


def test_rows_that_start_from_weights_are_left_out_or_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"every row of PAFE or not starts from weights; .* with --weights PATH"):
        read_table("pafe_or_not").chosen([], with_weights=False)
    with pytest.raises(ConfigError, match="cxr_clip_resnet50 of Table 1: Brixia, as published starts from weights"):
        read_table("1").chosen(["cxr_clip_resnet50"], with_weights=False)
    assert len(read_table("pafe_or_not").chosen([], with_weights=True)) == 18


def test_rows_start_from_a_run_and_see_what_it_saw_and_measure_what_it_held_back(
    severity_settings: SettingsMaker, tiny_config: str, tmp_path: Path
) -> None:
    row = {"name": "a", "config": tiny_config, "needs_weights": True}
    table = table_of(row)
    root = severity_settings().data.root
    assert root is not None
    start = tmp_path / "trunk"
    (start / "sources" / root.name).mkdir(parents=True)
    (start / "config.yaml").write_text("settings: {alignment: runs/of-the-trunk}")
    request = TableRequest(root, tmp_path / "out", weights=start)
    assert alignment_of(start) == Path("runs/of-the-trunk")
    assert alignment_of(tmp_path / "weights.pt") is None
    settings = settings_of_row(table, table.rows[0], request, alignment_of(start))
    assert isinstance(settings, SeverityRunSettings)
    assert (settings.alignment, settings.initial.encoder_weights) == (Path("runs/of-the-trunk"), start)
    assert settings.data.split.file is None
    (start / "sources" / root.name / "splits.json").write_text("{}")
    settings = settings_of_row(table, table.rows[0], request, None)
    assert isinstance(settings, SeverityRunSettings)
    assert settings.data.split.file == start / "sources" / root.name / "splits.json"


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
