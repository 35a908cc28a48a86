"""Settings shared by the training commands; each command adds its own class beside its code.

Explicit option > config file > default. Unknown keys are errors that name file and key path.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lungsev.inference.cpus import usable_cpus

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class SplitSettings(Settings):
    """Who trains and who is held back; see `splits`."""

    # None: column where the dataset has one that says the part or the fold of its images, else holdout
    protocol: Literal["pafe", "leak_free", "kfold", "holdout", "all", "column"] | None = None
    seed: int = 42  # the published code's
    folds: Annotated[int, Field(ge=2)] | None = None  # of kfold; None: as many as a fold column has, else 5
    fold: Annotated[int, Field(ge=0)] | Literal["all"] = 0  # all: one run per fold, then a summary over them
    validation: Share = 0.15  # of the patients that are not tested, where nothing states who validates
    test: Share = 0.15  # of the patients, protocol holdout only
    # Of the patients who would train; None: a tenth if that is enough, where nothing states who trains.
    calibration: Share | None = None
    file: Path | None = None  # who is where: splits.json of an earlier run, or a table or YAML of images and parts
    allow_shared_patients: bool = False  # a file or column may have a patient on two sides

    def of_fold(self, fold: int) -> SplitSettings:
        """Return the settings of one of all folds. They calibrate each other: a part for it must be asked for."""
        return self.model_copy(update={"fold": fold, "calibration": self.calibration or 0.0})


class DataSettings(Settings):
    """The images."""

    root: Path | None = None  # --data
    layout: str | None = None  # None: recognised from what the folder holds
    cache: Path = Path("runs/cache")  # prepared canvases; pictures of patients, so beside the runs
    workers: Annotated[int, Field(ge=0)] | None = None  # loader processes; None: see num_workers
    skip_unreadable: bool = False  # True: leave damaged images out and say so
    findings: tuple[str, ...] = ()  # only images with one of these findings train; the others are the test part
    exclude_patients_of: Path | None = None  # a graded dataset whose patients must not be trained on here
    split: SplitSettings = SplitSettings()

    @property
    def num_workers(self) -> int:
        """Loader processes: one less than the CPUs that this process may use, at most 8; torchrun's share the CPUs."""
        if self.workers is not None:
            return self.workers
        return max(0, min(8, usable_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1))


class OptimizerSettings(Settings):
    """How weights move."""

    name: Literal["sgd", "adamw"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    decay_norms_and_biases: bool = False  # True: every parameter decays, as torch.optim has it by itself
    momentum: Share = 0.9  # sgd only
    backbone_lr_factor: Annotated[float, Field(ge=0)] = 1.0  # pretrained parts move slower; 0 leaves them as they are
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0  # norm


class LoopSettings(Settings):
    """How long, how fast, on what."""

    epochs: Positive = 30
    batch_size: Positive = 16  # images per optimizer step, over all devices and accumulated steps together
    accumulate: Positive = 1  # steps whose gradients are summed
    seed: int = 0
    ema: Share = 0.0  # decay of the averaged weights per step, as 0.99; 0 is off
    precision: Literal["32", "bf16", "fp16"] = "32"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Positive | Literal["auto"] = "auto"
    nodes: Positive = 1
    deterministic: bool = False  # bitwise equal reruns on one machine, slower on a GPU
    keep: Literal["best", "last"] = "best"  # which epoch's weights become network.pt
    keep_checkpoints: bool = False  # True: RUN/checkpoints stays when the run is finished, twice the network or more
    threads: Positive | None = None  # of torch, OpenCV and image preparation; None: as many as they choose
    patience: Positive | None = None  # epochs without improvement before it stops
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
