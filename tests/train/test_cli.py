"""What goes wrong is one line that says what to do; what goes right leaves a page worth reading."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from arm_predictions import predictions
from tiny_bundle import write_tiny_bundle

from lungsev.train import cli
from lungsev.train.runs import open_run
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

DatasetMaker = Callable[[str], Path]
SettingsMaker = Callable[..., SeverityRunSettings]


@pytest.fixture
def lungsev_train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command; returns exit code, standard output and error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lungsev-train", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def one_line(found: tuple[int, str, str]) -> str:
    code, _, error = found
    assert code == 1
    assert error.startswith("lungsev-train: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(("number", "name", "code"), [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGINT, "Ctrl-C", 130)])
def test_a_stop_is_told_as_what_it_is(
    lungsev_train: Callable, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, name: str, code: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "app", lambda **_: signal.raise_signal(number))
    found, _, error = lungsev_train("segment")
    assert found == code
    assert error == f"lungsev-train: stopped by {name}; start the same command again to continue from the last epoch\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_wrong_path_and_a_folder_that_is_no_dataset(lungsev_train: Callable, tmp_path: Path) -> None:
    assert "does not exist, expected the folder of a dataset" in one_line(lungsev_train("segment", "--data", "nowhere"))
    assert "is no dataset this command knows" in one_line(lungsev_train("segment", "--data", tmp_path))
    assert "name its folder with --data DIR" in one_line(lungsev_train("segment"))


def test_a_bundle_that_no_zoo_knows_is_not_evaluated(lungsev_train: Callable, tmp_path: Path) -> None:
    assert "expected a folder or a .zip written by lungsev-export, or a known name (lungsev-brixia@" in one_line(
        lungsev_train("evaluate", "lungsev-brixi", "--data", tmp_path)
    )
    renamed = one_line(lungsev_train("evaluate", "lungsev-brixia", "--data", tmp_path))
    assert "is no dataset this command knows" in renamed  # the name is known, the folder is empty


def test_a_typo_in_a_config_names_file_and_key(lungsev_train: Callable, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("loop: {epoch: 3}\n")
    error = one_line(lungsev_train("segment", "--data", tmp_path, "--config", config))
    assert "mine.yaml: loop.epoch: unknown key; known here: epochs" in error
    assert "config 'papr' is unknown" in one_line(lungsev_train("segment", "--config", "papr"))
    assert "expected KEY=VALUE" in one_line(lungsev_train("segment", "--set", "loop.epochs"))


def test_a_later_stage_without_the_earlier_says_which_command_comes_first(
    lungsev_train: Callable, phantom_dataset: DatasetMaker
) -> None:
    error = one_line(lungsev_train("brixia", "--data", phantom_dataset("cohen")))
    assert "run `lungsev-train align --data DIR` first" in error


def test_an_unknown_backbone_and_weights_that_cannot_be_had(
    lungsev_train: Callable,
    severity_settings: SettingsMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(severity_settings().model_dump_json())
    base = ("brixia", "--config", config, "--fresh")
    error = one_line(lungsev_train(*base, "--set", "network.backbone=resnet43"))
    assert "backbone 'resnet43' is unknown to timm" in error

    import timm

    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **options: object) -> object:
        if pretrained:
            raise OSError("Temporary failure in name resolution")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    error = one_line(lungsev_train(*base, "--set", "network.pretrained=imagenet"))
    assert "cannot be downloaded (Temporary failure in name resolution); fetch" in error
    error = one_line(lungsev_train(*base, "--set", "initial.encoder_weights=absent.pt"))
    assert "absent.pt does not exist" in error


def test_a_table_of_arms_is_decided_on_without_training(lungsev_train: Callable, tmp_path: Path) -> None:
    rows = []
    for arm, wrong in (("PAFE", 0.2), ("SN", 0.4)):
        rows.append({"name": arm, "arm": arm, "config": "public/sn", "dataset": "cohen"})
        run = tmp_path / "rows" / arm
        run.mkdir(parents=True)
        predictions(wrong).save(run / "predictions-test.json")
        predictions(wrong, patients=10).save(run / "predictions-validation.json")
        network = {"backbone": "mobilenetv3_small_050", "crop_px": 64, "position_aware": False, "pretrained": "none"}
        settings = {
            "network": network,
            "initial": {"encoder_weights": None},
            "optimizer": {"lr": 1e-3},
            "loop": {"epochs": 1, "precision": "32", "accelerator": "cpu"},
        }
        (run / "config.yaml").write_text(json.dumps({"settings": settings, "made_by": {"device": "CPU"}}))
        (run / "metrics.json").write_text("{}")
    lungs = {
        "segment": {"network": {"encoder": "mobilenetv3_small_050", "size_px": 64}},
        "align": {"network": {"input_px": 16}},
    }
    table = tmp_path / "arms.yaml"
    rule = {"arm": "PAFE", "against": ["SN"]}
    table.write_text(json.dumps({"title": "Arms", "rows": rows, "decision": rule, "lungs": lungs}))
    words = ("table", table, "--out", tmp_path / "rows", "--decide", "--json")
    code, out, said = lungsev_train(*words)
    assert code == 0
    assert "cohen: PAFE is better than SN: it ships." in said
    (decision,) = json.loads(out)["decisions"]
    assert (decision["outcome"], decision["ships"], decision["crop_px"]) == ("better", True, 64)
    assert json.loads((tmp_path / "rows" / "decision.json").read_text())["decisions"] == [decision]
    (tmp_path / "rows" / "SN" / "predictions-test.json").unlink()
    assert "cohen: SN is not finished" in one_line(lungsev_train(*words[:-1]))


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_run_is_evaluated_and_reported(
    lungsev_train: Callable,
    severity_settings: SettingsMaker,
    phantom_dataset: DatasetMaker,
    tmp_path: Path,
) -> None:
    runs = []
    for aware in (False, True):
        chosen = {"network.position_aware": aware, "loop.epochs": 2, "data.split.test": 0.45}  # images enough to pair
        settings = severity_settings(chosen)
        run = open_run("brixia", settings, out=tmp_path / f"aware-{aware}")
        run_severity(settings, run)
        runs.append(run)
    code, out, error = lungsev_train(
        "evaluate", runs[0].path, runs[1].path, "--tta", "flip", "--out", tmp_path / "both"
    )
    assert (code, error) == (0, "")
    metrics = json.loads((tmp_path / "both" / "metrics.json").read_text())
    assert set(metrics["results"]) == {"train", "validation", "test"}
    code, _, error = lungsev_train("report", *(run.path for run in runs), tmp_path / "both", "--out", tmp_path / "page")
    assert (code, error) == (0, "")
    page = (tmp_path / "page" / "report.html").read_text()
    for heading in ("Table 1: Brixia", "Paired tests", "Interval of the total", "reader junior against senior"):
        assert heading in page
    assert page.count("data:image/") == len(list((tmp_path / "page" / "figures").glob("*.png"))) >= 8
    assert "src='http" not in page
    markdown = (tmp_path / "page" / "tables" / "table-1.md").read_text()
    assert "mobilenetv3_small_050 + SN + PAFE" in markdown
    assert "is no dataset" not in out


def test_phantoms_are_made_in_a_layout(lungsev_train: Callable, tmp_path: Path) -> None:
    made = lungsev_train("data", "phantom", tmp_path / "x", "--layout", "inha", "--count", 1, "--size-px", 96)
    assert made[0] == 0
    assert (tmp_path / "x" / "inha.csv").is_file()
    assert "is not empty" in one_line(lungsev_train("data", "phantom", tmp_path / "x"))


def test_change_takes_a_bundle_and_graded_courses_with_times(
    lungsev_train: Callable, phantom_dataset: DatasetMaker, tmp_path: Path
) -> None:
    assert "there is no bundle at" in one_line(
        lungsev_train("change", "--data", tmp_path, "--bundle", tmp_path / "none")
    )
    write_tiny_bundle(tmp_path / "bundle")
    words = ("change", "--bundle", tmp_path / "bundle", "--data")
    assert "has no image with date and time" in one_line(lungsev_train(*words, phantom_dataset("inha")))
    assert "the bundle does not score inha" in one_line(lungsev_train(*words, tmp_path, "--scheme", "inha"))
    assert "consecutive graded images: found 4, expected" in one_line(lungsev_train(*words, phantom_dataset("ralo")))


def test_a_setting_is_not_undone_by_an_option_that_was_not_given(lungsev_train: Callable, tmp_path: Path) -> None:
    found = one_line(lungsev_train("segment", "--data", tmp_path, "--set", "data.split.protocol=nonsense"))
    assert "data.split.protocol" in found
    assert "'kfold'" in found


def test_wrong_usage_is_exit_code_two(lungsev_train: Callable) -> None:
    assert lungsev_train("segment", "--epochs", "many")[0] == 2


def test_help_does_not_load_torch() -> None:
    script = "import sys, lungsev.train.cli; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env=os.environ, check=False).returncode == 0
