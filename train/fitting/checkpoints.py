"""Checkpoints that a kill at any moment leaves whole: the last epoch's, or the one before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lungsev.system import UNFINISHED_SUFFIX, atomic_file
from lungsev.train.console import say
from lungsev.train.runs import Run


class WholeCheckpoints(TorchCheckpointIO):
    """Written beside their place, forced to the disk, moved there.

    Lightning's own writer goes by a temporary file in the system's folder for such, which is mostly another file
    system: its last step is then a copy, and a kill during that copy loses the run.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Replace `path`."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(target) as file:
            torch.save(checkpoint, file)


def newest_checkpoint(run: Run) -> Path | None:
    """The last checkpoint that can be read; what killed processes left half written is removed."""
    for rest in run.checkpoints.glob(f".*{UNFINISHED_SUFFIX}"):
        rest.unlink(missing_ok=True)
    for path in (run.last_checkpoint, run.checkpoints / "best.ckpt"):
        if not path.is_file():
            continue
        try:
            torch.load(path, map_location="cpu", weights_only=False)
        except Exception:  # a damaged file raises whatever its bytes happen to mean
            say(f"{path.name} is damaged and is not used")
            continue
        return path
    return None
