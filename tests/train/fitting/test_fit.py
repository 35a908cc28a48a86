"""What stops a training for reasons outside of it is reported in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lungsev.config import read_yaml
from lungsev.errors import LungsevError
from lungsev.networks.checkpoint import load_network
from lungsev.train.evaluation import measure
from lungsev.train.evaluation.inference import predict
from lungsev.train.fitting import fit
from lungsev.train.fitting.device import place_of
from lungsev.train.runs import open_run
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

SettingsMaker = Callable[..., SeverityRunSettings]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (SystemExit(1), KeyboardInterrupt, "^$"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), LungsevError, r"memory is full .* loop\.accumulate=2"),
        (RuntimeError("DataLoader worker (pid 7) is killed"), LungsevError, r"data\.workers=1"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. "), KeyboardInterrupt, "^$"),
        (ValueError("Expected more than 1 value per channel when training"), LungsevError, "loop.batch_size of 2"),
        (RuntimeError("a mistake of ours"), RuntimeError, "a mistake of ours"),
    ],
)
def test_reasons_are_one_line(error: BaseException, kind: type[BaseException], words: str) -> None:
    with pytest.raises(kind, match=words), fit.reasons_in_one_line():
        raise error


def test_a_loss_that_is_no_number_stops_the_run(severity_settings: SettingsMaker) -> None:
    settings = severity_settings({"optimizer.lr": 1e12, "optimizer.gradient_clip": None, "optimizer.name": "sgd"})
    with pytest.raises(LungsevError, match="not a finite number; learn slower"):
        run_severity(settings, open_run("brixia", settings))


@pytest.mark.gpu
def test_a_training_on_a_gpu_predicts_there_and_leaves_files_for_any_machine(
    severity_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[str] = []

    def recorded(network: Any, *rest: Any, **named: Any) -> Any:
        places.append(place_of(network).type)
        return predict(network, *rest, **named)

    monkeypatch.setattr(measure, "predict", recorded)
    settings = severity_settings({"loop.accelerator": "gpu"})
    run = open_run("brixia", settings)
    run_severity(settings, run)
    assert set(places) == {"cuda"}
    assert place_of(load_network(run.path)).type == "cpu"
    made_by = read_yaml(run.path / "config.yaml")["made_by"]
    assert made_by["device"] == torch.cuda.get_device_name()
    assert made_by["peak_gpu_memory_mib"] > 0
