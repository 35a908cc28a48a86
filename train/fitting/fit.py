"""The loop around every network: Lightning with our optimisers, averaged weights, checkpoints and plain progress."""

from __future__ import annotations

import ctypes
import json
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.console import is_main_process, say
from lungsev.train.data.loaders import world_size
from lungsev.train.fitting.checkpoints import WholeCheckpoints, newest_checkpoint
from lungsev.train.fitting.distributed import WholeBatch, one_batch
from lungsev.train.fitting.loggers import loggers_of
from lungsev.train.runs import Run
from lungsev.train.settings import LoopSettings, OptimiserSettings

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
MONITOR = "validation/loss"
PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


class TrainingModule(L.LightningModule):
    """A network with its optimiser and, if wanted, its averaged weights.

    Subclasses implement `loss_of(batch, network, part)`; validation runs on the averaged weights when there are any.
    """

    def __init__(self, network: nn.Module, optimiser: OptimiserSettings, loop: LoopSettings) -> None:
        super().__init__()
        self.network = network
        self.optimiser = optimiser
        self.loop = loop
        self.whole_batch = WholeBatch()
        self.average: AveragedModel | None = None
        if loop.ema > 0:
            self.average = AveragedModel(network, multi_avg_fn=WarmedAverage(loop.ema), use_buffers=True)
            self.average.requires_grad_(False)

    @property
    def best_network(self) -> nn.Module:
        """The averaged network, or the trained one where none is kept."""
        return self.average.module if self.average is not None else self.network

    def loss_of(self, batch: dict[str, Any], network: nn.Module, part: str) -> Tensor:
        """Scalar loss of a batch; may log further numbers as `<part>/<name>`."""
        raise NotImplementedError

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Parameters that `backbone_lr_factor` slows down."""
        return []

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        # Dropout and mixup then do not depend on where a run was stopped before, nor on when loaders were made.
        place = (self.loop.seed, self.current_epoch, batch_index)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1))
        self.whole_batch.rows = self._images_from(batch_index, 1)

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
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
        self.log_number(MONITOR, self.loss_of(batch, self.best_network, "validation"), batch)

    def log_number(self, name: str, value: Tensor | float, batch: dict[str, Any]) -> None:
        """Mean over the epoch and over all processes, weighted by the images of each batch."""
        # Lightning averages the count of images over the processes as a whole number, which cuts off a half image.
        size = len(batch["index"]) * self.trainer.world_size
        self.log(name, value, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        stepped = (batch_index + 1) % self.loop.accumulate == 0 or self.trainer.is_last_batch
        if self.average is not None and stepped:
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        settings = self.optimiser
        slow = {id(parameter) for parameter in self.backbone_parameters()}
        groups: list[dict[str, Any]] = []
        for is_slow, factor in ((False, 1.0), (True, settings.backbone_lr_factor)):
            members = [p for p in self.network.parameters() if (id(p) in slow) == is_slow and p.requires_grad]
            # Biases and norms are not decayed: pulling them to zero regularises nothing.
            for decays in (True, False):
                chosen = [p for p in members if (p.ndim > 1) == decays]
                if chosen and factor > 0:
                    decay = settings.weight_decay if decays else 0.0
                    groups.append({"params": chosen, "lr": settings.lr * factor, "weight_decay": decay})
        if settings.name == "sgd":
            optimiser: torch.optim.Optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
        else:
            optimiser = torch.optim.AdamW(groups, lr=settings.lr)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = round(settings.warmup_epochs * total / self.loop.epochs)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: learning_rate_factor(step, total, warmup, settings.schedule)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WarmedAverage:
    """Exponential moving average whose memory grows with the steps taken: decay = min(decay, (1 + n) / (10 + n)).

    A short run would otherwise end with the weights it began with. All tensors of a kind at once: one by one they
    cost a GPU more than the step itself.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averages: Any, currents: Any, steps: Tensor | int) -> None:
        decay = min(self.decay, (1 + int(steps)) / (10 + int(steps)))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, 1 - decay)
        else:
            torch._foreach_copy_(averages, currents)


def seed_weights(seed: int) -> None:
    """Make the next network's random weights repeatable; call it before the network is built."""
    torch.manual_seed(seed)


def learning_rate_factor(step: int, total: int, warmup: int, schedule: str) -> float:
    """Share of the full rate at a step: a linear start, then constant or half a cosine down to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def fit(module: TrainingModule, run: Run, train: Any, validation: Any | None) -> nn.Module:
    """Train, from the last whole epoch when the run was stopped before.

    Returns:
        The network whose weights `loop.keep` asks for, in eval mode on the CPU.
    """
    loop = module.loop
    make_cpu_fast()
    module.to(memory_format=torch.channels_last)
    keeps_best = loop.keep == "best" and validation is not None
    last, best = _checkpoint(run, "last", None), _checkpoint(run, "best", MONITOR)
    bar: list[Callback] = [RichProgressBar(leave=False)] if _on_terminal() else []
    stopper: list[Callback] = [EarlyStopping(MONITOR, patience=loop.patience)] if loop.patience and validation else []
    with quiet_lightning():
        trainer = L.Trainer(
            accelerator=accelerator_of(loop),
            devices=devices_of(loop),
            num_nodes=_nodes(loop),
            strategy="ddp" if world_size() > 1 else "auto",
            precision=PRECISIONS[loop.precision],
            max_epochs=loop.epochs,
            accumulate_grad_batches=loop.accumulate,
            gradient_clip_val=module.optimiser.gradient_clip,
            deterministic=loop.deterministic,
            callbacks=[EpochLines(run), *bar, *stopper, *([best] if keeps_best else []), last],
            logger=loggers_of(loop.loggers, run),
            plugins=[WholeCheckpoints()],
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
    return module.best_network.cpu().eval()


@contextmanager
def reasons_in_one_line() -> Iterator[None]:
    """What stops a training for reasons outside of it, in one line each."""
    try:
        yield
    except SystemExit:  # Lightning's answer to Ctrl-C, and to a scheduler's or a container's SIGTERM
        raise KeyboardInterrupt from None
    except torch.OutOfMemoryError as error:
        raise LungsevError(
            f"the GPU's memory is full ({str(error).split('. ')[0]}); share a batch among more steps: "
            "--set loop.accumulate=2, or 4, or --set loop.precision=bf16"
        ) from None
    except RuntimeError as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Ctrl-C while a checkpoint was written
            raise KeyboardInterrupt from None
        if "DataLoader worker" not in str(error):
            raise
        raise LungsevError(
            "a process that loads images died (killed, or memory ran out); start the same command again to go on from "
            "the last epoch, with fewer of them: --set data.workers=1"
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
    """What a training step on a CPU costs beside its arithmetic: memory given back and taken anew, and denormals.

    glibc returns every large tensor to the system and faults it in again, which takes a third of a step.
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc's; musl has none
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(M_TOP_PAD, 512 * 2**20)


class EpochLines(Callback):
    """One JSON line per epoch for the report; one plain line on screens that show no bar."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.started = 0.0
        self.images = 0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.started, self.images = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        self.images += len(batch["index"]) * trainer.world_size

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not is_main_process():
            return
        seconds = time.perf_counter() - self.started
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        record = {
            "epoch": trainer.current_epoch,
            "seconds": round(seconds, 3),
            "images_per_second": round(self.images / seconds, 2),
            "learning_rate": rate,
            **{name: (value if math.isfinite(value) else None) for name, value in sorted(numbers.items())},
        }
        self._append(json.dumps(record) + "\n")
        if not math.isfinite(numbers.get("train/loss", 0.0)):
            raise LungsevError(
                f"the loss of epoch {trainer.current_epoch + 1} is no number any more; learn slower (a tenth of "
                "optimiser.lr) or with loop.precision=32, as a new run"
            )
        words = "  ".join(f"{name} {value:.4f}" for name, value in sorted(numbers.items()))
        say(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {words}  ({record['images_per_second']} images/s)"
        )

    def _append(self, line: str) -> None:
        path = self.run.path / "history.jsonl"
        cut_short = path.is_file() and not path.read_bytes().endswith(b"\n")  # by a kill
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * cut_short + line)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's advice is for people who write loops, not for those who train with ours."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning(\..*)?")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
        warnings.filterwarnings("ignore", message=".*Grad strides do not match bucket view strides.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def accelerator_of(loop: LoopSettings) -> str:
    """For Lightning. Raises ConfigError when it is not here."""
    if loop.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("loop.accelerator is gpu, but torch finds none here; expected auto or cpu")
    return loop.accelerator


def devices_of(loop: LoopSettings) -> int:
    """Of this machine, for Lightning. Raises ConfigError when they need processes that were not started."""
    if "LOCAL_WORLD_SIZE" in os.environ:
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if loop.devices not in ("auto", 1):
        raise ConfigError(
            f"loop.devices={loop.devices} needs as many processes: leave it out and start them by "
            f"`torchrun --nproc_per_node={loop.devices} -m lungsev.train ... --out DIR`"
        )
    return 1


def _nodes(loop: LoopSettings) -> int:
    """Machines of this torchrun; the setting counts only without it."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    return int(os.environ["WORLD_SIZE"]) // local if local else loop.nodes


def _on_terminal() -> bool:
    return sys.stdout.isatty() and is_main_process()
