"""What stops a training for reasons outside of it is reported in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lungsev.errors import LungsevError
from lungsev.train.fitting import fit
from lungsev.train.runs import open_run
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


def test_a_loss_that_is_no_number_stops_the_run(severity_settings: SettingsMaker) -> None:
    settings = severity_settings({"optimizer.lr": 1e12, "optimizer.gradient_clip": None, "optimizer.name": "sgd"})
    with pytest.raises(LungsevError, match="not a finite number; learn slower"):
        run_severity(settings, open_run("brixia", settings))
