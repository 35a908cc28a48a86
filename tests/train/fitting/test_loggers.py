"""Numbers go where a group looks at them, and a service that refuses is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.fitting.loggers import loggers_of
from lungsev.train.runs import Run, open_run
from lungsev.train.settings import LoopSettings
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

SettingsMaker = Callable[..., SeverityRunSettings]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_says_how_to_install_it(
    severity_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def absent(run: Any) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(f"lungsev.train.fitting.loggers._{name}", absent)
    with pytest.raises(ConfigError, match=f"pip install {name}"):
        loggers_of([name], open_run("brixia", severity_settings()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_an_optional_logger_keeps_the_numbers_in_the_run_folder(
    severity_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip(name)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = severity_settings({"loop.loggers": [name]})
    run = open_run("brixia", settings)
    run_severity(settings, run)
    assert run.is_finished
    assert (run.path / {"wandb": "wandb", "mlflow": "mlflow.db"}[name]).exists()
    if name == "mlflow":
        import mlflow

        client = mlflow.MlflowClient(f"sqlite:///{(run.path / 'mlflow.db').resolve()}")
        kept = client.get_metric_history((run.path / "mlflow-run.txt").read_text(), "train/loss")
        assert [round(point.value, 5) for point in kept] == [round(run.history()[0]["train/loss"], 5)]


def test_tensorboard_is_on_by_default_and_writes_beside_the_run(severity_settings: SettingsMaker) -> None:
    assert LoopSettings().loggers == ("tensorboard",)
    settings = severity_settings({"loop.loggers": ["tensorboard"]})
    run = open_run("brixia", settings)
    run_severity(settings, run)
    assert list((run.path / "log").glob("events.out.tfevents.*"))
    assert "lightning_logs" not in {path.name for path in run.path.iterdir()}


def test_a_service_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run) -> Any:
        raise RuntimeError("no\n  answer")

    monkeypatch.setattr("lungsev.train.fitting.loggers._wandb", refuse)
    with pytest.raises(LungsevError, match=r"^wandb cannot be reached or refuses \(no answer\); put it right"):
        loggers_of(["wandb"], Run(tmp_path))
    assert loggers_of([], Run(tmp_path)) == []
