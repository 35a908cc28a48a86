"""What stops a training for reasons outside of it is reported in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.fitting import fit
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
