"""Numbers go where a group looks at them, and a service that refuses is one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import Logger

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.fitting import loggers
from lungsev.train.fitting.loggers import final_numbers, log_result, loggers_of
from lungsev.train.runs import Run, open_run
from lungsev.train.settings import LoopSettings, Settings
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


def test_names_that_are_not_utf_8_reach_a_logger_as_marks_and_a_folder_of_such_a_name_is_refused(
    severity_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = severity_settings({"data.root": os.fsdecode(b"caf\xe9")})
    run = open_run("brixia", settings, out=tmp_path / "run")
    assert run.settings()["data"]["root"] == os.fsdecode(b"caf\xe9")
    noted: list[dict[str, Any]] = []
    monkeypatch.setattr(loggers.TensorBoardLogger, "log_hyperparams", lambda _, values: noted.append(values))
    loggers_of(["tensorboard"], run)
    assert noted[0]["data"]["root"] == "caf?"
    strange = open_run("brixia", settings, out=tmp_path / os.fsdecode(b"run\xe9"))
    with pytest.raises(LungsevError, match="whose name is not UTF-8; choose another --out"):
        loggers_of(["tensorboard"], strange)


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
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(run.path / "log")).Reload().Tags()["scalars"]
    assert {"train/loss", "learning_rate/group_0", "final/test/argmax/accuracy"} <= set(curves)
    assert "lightning_logs" not in {path.name for path in run.path.iterdir()}


def test_a_service_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run) -> Any:
        raise RuntimeError("no\n  answer")

    monkeypatch.setattr("lungsev.train.fitting.loggers._wandb", refuse)
    with pytest.raises(LungsevError, match=r"^wandb cannot be reached or refuses \(no answer\); put it right"):
        loggers_of(["wandb"], Run(tmp_path))
    assert loggers_of([], Run(tmp_path)) == []


class LoopedSettings(Settings):
    loop: LoopSettings = LoopSettings()


METRICS = {
    "task": "severity",
    "results": {
        "test": {"argmax": {"accuracy": 0.5, "images": 12, "named": "x", "sure": True}, "interval": [0, 1]},
        "other": {"accuracy": 1.0},
    },
}
FINAL = {"final/test/argmax/accuracy": 0.5, "final/test/argmax/images": 12.0}


def run_with(name: str, tmp_path: Path) -> Run:
    return open_run("brixia", LoopedSettings(loop=LoopSettings(loggers=(name,), epochs=7)), out=tmp_path / "run")  # type: ignore[arg-type]


def test_the_numbers_of_the_measured_parts_are_logged_whatever_the_task_calls_them() -> None:
    assert final_numbers(METRICS) == FINAL
    assert final_numbers({"task": "segmentation", "held_out": {"dice": 0.9}}) == {"final/held_out/dice": 0.9}


def test_tensorboard_has_the_settings_as_parameters_beside_the_final_numbers(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = run_with("tensorboard", tmp_path)
    log_result(run, METRICS)
    events = EventAccumulator(str(run.path / "log")).Reload()
    stored = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    parameters = HParamsPluginData.FromString(stored).session_start_info.hparams
    assert parameters["loop/epochs"].number_value == 7
    assert parameters["loop/keep"].string_value == "best"
    for name, value in FINAL.items():
        assert [event.value for event in events.Scalars(name)] == [value]


class FakeService(Logger):
    """Keeps what it is sent; its experiment can be finished, as a wandb run."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self.experiment = self

    name, version = "fake", "0"

    def log_hyperparams(self, params: Any, *_: Any) -> None:
        self.sent.append(("parameters", params["loop"]["epochs"]))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.sent.append(metrics)

    def finish(self) -> None:
        self.sent.append("finished")


@pytest.mark.parametrize(("name", "end"), [("wandb", ["finished"]), ("mlflow", [])])
def test_a_service_gets_parameters_and_results_and_a_wandb_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, end: list[str]
) -> None:
    made: list[FakeService] = []
    monkeypatch.setattr(loggers, f"_{name}", lambda run: made.append(FakeService(run)) or made[-1])
    log_result(run_with(name, tmp_path), METRICS)
    assert made[0].sent == [("parameters", 7), FINAL, *end]


def test_a_service_that_refuses_at_the_end_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(run: Run) -> Any:
        raise RuntimeError("no answer")

    monkeypatch.setattr(loggers, "_mlflow", refuse)
    log_result(run_with("mlflow", tmp_path), METRICS)
    assert "not where they were to be logged: mlflow cannot be reached" in capsys.readouterr().out
