"""What stops a training for reasons outside of it is one line; numbers go where a group looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.fitting import fit
from lungsev.train.fitting.loggers import loggers_of
from lungsev.train.runs import open_run
from lungsev.train.settings import LoopSettings
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

SettingsMaker = Callable[..., SeverityRunSettings]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (SystemExit(1), KeyboardInterrupt, "^$"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), LungsevError, r"memory is full .* loop\.accumulate=2"),
        (RuntimeError("DataLoader worker (pid 7) is killed"), LungsevError, r"data\.workers=1"),
        (RuntimeError("a mistake of ours"), RuntimeError, "a mistake of ours"),
    ],
)
def test_reasons_are_one_line(error: BaseException, kind: type[BaseException], words: str) -> None:
    with pytest.raises(kind, match=words), fit.reasons_in_one_line():
        raise error


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"loop\.accelerator is gpu, but torch finds none"):
        fit.accelerator_of(LoopSettings(accelerator="gpu"))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError, match="torchrun --nproc_per_node=2"):
        fit.devices_of(LoopSettings(devices=2))


def test_weights_are_averaged_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert fit.average_device(LoopSettings()) == torch.device("cuda", 1)
    assert fit.average_device(LoopSettings(accelerator="cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fit.average_device(LoopSettings()) == torch.device("cpu")


def test_a_loss_that_is_no_number_stops_the_run(severity_settings: SettingsMaker) -> None:
    settings = severity_settings({"optimizer.lr": 1e12, "optimizer.gradient_clip": None, "optimizer.name": "sgd"})
    with pytest.raises(LungsevError, match="not a finite number; learn slower"):
        run_severity(settings, open_run("brixia", settings))


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
