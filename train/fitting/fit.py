"""Fits a network with Lightning: optimizer, averaged weights, checkpoints and progress."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar, WeightAveraging
from torch import Tensor, nn

from lungsev.errors import LungsevError
from lungsev.train.console import is_main_process
from lungsev.train.data.loaders import world_size
from lungsev.train.fitting.checkpoints import WholeCheckpoints, newest_checkpoint
from lungsev.train.fitting.device import device_of, devices_of, nodes_of
from lungsev.train.fitting.distributed import WholeBatch, cluster_environment, one_batch
from lungsev.train.fitting.loggers import loggers_of
from lungsev.train.fitting.optimization import WarmedAverage, learning_rate_factor, make_optimizer
from lungsev.train.fitting.progress import EpochLines, Forecast, LearningRates, quiet_lightning
from lungsev.train.runs import Run
from lungsev.train.settings import LoopSettings, OptimizerSettings
from lungsev.train.threads import use_threads

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
MONITOR = "validation/loss"
PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


class TrainingModule(L.LightningModule):
    """A network with its optimizer.

    Subclasses implement `loss_of(batch, network, part)`; where weights are averaged, validation sees the average.
    """

    def __init__(self, network: nn.Module, optimizer: OptimizerSettings, loop: LoopSettings) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer
        self.loop = loop
        self.whole_batch = WholeBatch()
        self.frozen: list[nn.Module] = []  # parts whose normalisation keeps its statistics

    def freeze_parts(self, parts: Sequence[nn.Module]) -> None:
        """Stop some parts from learning; their normalisation keeps its statistics too."""
        self.frozen += parts
        for part in parts:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> TrainingModule:
        """Set the mode of all parts but the frozen ones, which stay in eval mode."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def loss_of(self, batch: dict[str, Any], network: nn.Module, part: str) -> Tensor:
        """Scalar loss of a batch; may log further numbers as `<part>/<name>`."""
        raise NotImplementedError

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Parameters that `backbone_lr_factor` slows down."""
        return []

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        """Seed the step, so that dropout and mixup do not depend on where a run was stopped."""
        # Dropout and mixup then do not depend on where a run was stopped before, nor on when loaders were made.
        place = (self.loop.seed, self.current_epoch, batch_index)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1))
        self.whole_batch.rows = self._images_from(batch_index, 1)

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return the loss of a batch, weighted by its share of the optimizer's step."""
        loss = self.loss_of(batch, self.network, "train")
        self.log_number("train/loss", loss, batch)
        return loss * self._share_of_step(batch, batch_index)

    def _share_of_step(self, batch: dict[str, Any], batch_index: int) -> float:
        """What makes the gradient of a step that of one batch: every image counts alike, in a smaller last step too.

        Lightning divides each loss by `accumulate` and by the processes, however many images each of them has.
        """
        steps = self.loop.accumulate
        images = self._images_from(batch_index // steps * steps, steps)
        return len(batch["index"]) * steps * self.trainer.world_size / images

    def _images_from(self, batch_index: int, batches: int) -> int:
        """Images of all processes in some batches from one on; fewer at the end of an epoch."""
        loader: Any = self.trainer.train_dataloader
        size = loader.batch_size * self.trainer.world_size
        return int(min(size * batches, loader.sampler.total - size * batch_index))

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Log the loss of a batch."""
        self.log_number(MONITOR, self.loss_of(batch, self.network, "validation"), batch)

    def log_number(self, name: str, value: Tensor | float, batch: dict[str, Any]) -> None:
        """Mean over the epoch and over all processes, weighted by the images of each batch."""
        # Lightning averages the count of images over the processes as a whole number, which cuts off a half image.
        size = len(batch["index"]) * self.trainer.world_size
        self.log(name, value, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Make the optimizer and its schedule."""
        settings = self.optimizer
        optimizer = make_optimizer(self.network.parameters(), self.backbone_parameters(), settings)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = round(settings.warmup_epochs * total / self.loop.epochs)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, total, warmup, settings.schedule)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def seed_weights(seed: int) -> None:
    """Make the next network's random weights repeatable; call it before the network is built."""
    torch.manual_seed(seed)


def fit(module: TrainingModule, run: Run, train: Any, validation: Any | None) -> nn.Module:
    """Train, from the last whole epoch when the run was stopped before.

    Returns:
        The network whose weights `loop.keep` asks for, in eval mode, on the device that it was trained on.
    """
    loop = module.loop
    device = device_of(loop.accelerator)
    use_threads(loop.threads)
    make_cpu_fast()
    module.to(memory_format=torch.channels_last)
    module.train()  # Lightning leaves every part in the mode it finds it in
    keeps_best = loop.keep == "best" and validation is not None
    last, best = _checkpoint(run, "last", None), _checkpoint(run, "best", MONITOR)
    averaging = WeightAveraging(device, multi_avg_fn=WarmedAverage(loop.ema))
    average: list[Callback] = [averaging] if loop.ema > 0 else []
    lines: list[Callback] = [EpochLines(run), Forecast(), LearningRates()]
    bar: list[Callback] = [RichProgressBar(leave=False)] if _on_terminal() else []
    stopper: list[Callback] = [EarlyStopping(MONITOR, patience=loop.patience)] if loop.patience and validation else []
    with quiet_lightning():
        trainer = L.Trainer(
            accelerator=loop.accelerator,
            devices=devices_of(loop),
            num_nodes=nodes_of(loop),
            strategy="ddp" if world_size() > 1 else "auto",
            precision=PRECISIONS[loop.precision],
            max_epochs=loop.epochs,
            accumulate_grad_batches=loop.accumulate,
            gradient_clip_val=module.optimizer.gradient_clip,
            deterministic=loop.deterministic,
            callbacks=[*average, *lines, *bar, *stopper, *([best] if keeps_best else []), last],
            logger=loggers_of(loop.loggers, run),
            plugins=[WholeCheckpoints(), cluster_environment()],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_progress_bar=bool(bar),
            enable_model_summary=False,
            log_every_n_steps=max(1, min(50, len(train))),
            default_root_dir=run.path,
        )
        start = newest_checkpoint(run)
        with one_batch(module.network, world_size()) as module.whole_batch, reasons_in_one_line():
            trainer.fit(module, train, validation, ckpt_path=start, weights_only=False if start else None)
    if keeps_best and best.best_model_path and Path(best.best_model_path).is_file():
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
        module.load_state_dict(state["state_dict"])
    return module.network.to(device).eval()


@contextmanager
def reasons_in_one_line() -> Iterator[None]:
    """Turn what stops a training for reasons outside of it into one line each."""
    try:
        yield
    except SystemExit:  # Lightning's answer to Ctrl-C, and to a scheduler's or a container's SIGTERM
        raise KeyboardInterrupt from None
    except torch.OutOfMemoryError as error:
        raise LungsevError(
            f"the GPU's memory is full ({str(error).split('. ')[0]}); share a batch among more steps: "
            "--set loop.accumulate=2, or 4, or --set loop.precision=bf16"
        ) from None
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise LungsevError(
            "batches of one image leave batch normalisation a single value per channel; expected loop.batch_size of "
            "2 or more, or a larger image"
        ) from None
    except RuntimeError as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Ctrl-C while a checkpoint was written
            raise KeyboardInterrupt from None
        if "DataLoader worker" not in str(error):
            raise
        if "signal: Terminated" in str(error):  # SIGTERM to the whole group, which a loader got first
            raise KeyboardInterrupt from None
        raise LungsevError(
            "a process that loads images died (killed, or memory ran out); start the same command again to "
            "continue from the last epoch, with fewer of them: --set data.workers=1"
        ) from None


def _checkpoint(run: Run, name: str, monitor: str | None) -> ModelCheckpoint:
    """Saves at the end of every epoch, or of every epoch that is the best so far.

    One callback for both would not do: Lightning's `save_last` writes only when the best is written.
    """
    return ModelCheckpoint(
        dirpath=run.checkpoints,
        filename=name,
        monitor=monitor,
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def make_cpu_fast() -> None:
    """Avoid what slows a training step on a CPU: memory returned to the system and taken again, and denormals.

    glibc returns every large tensor to the system and faults it in again, which takes a third of a step.
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc's; musl has none
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(M_TOP_PAD, 512 * 2**20)


def _on_terminal() -> bool:
    return sys.stdout.isatty() and is_main_process()
