"""`lungsev-run` on a machine with a fake GPU, as a process of its own.

`python faulty_watch.py GPU.json watch INCOMING --out OUT ...`: the file holds the parts of a `FakeGpu`. Everything but
the GPU is real: command, settings, watcher, supervisor, device processes and how they end. Where it holds null, so are
TensorRT and the CUDA binding.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fake_gpu_child import FakeGpu, Fault, ForkedChild, preload

from lungsev.inference import select
from lungsev.inference.tensorrt import device_client
from lungsev.runtime.cli import main


def write_gpu(gpu: FakeGpu | None, path: Path) -> Path:
    path.write_text(json.dumps(gpu and {**asdict(gpu), "folder": str(gpu.folder)}))
    return path


def read_gpu(path: Path) -> FakeGpu | None:
    parts = json.loads(path.read_text())
    if parts is None:
        return None
    faults = tuple(Fault(**fault) for fault in parts.pop("faults"))
    return FakeGpu(**{**parts, "folder": Path(parts["folder"]), "faults": faults})


def _forked(machine: FakeGpu, *_arguments: object, **_more: object) -> ForkedChild:
    return ForkedChild(machine)


if __name__ == "__main__":
    machine = read_gpu(Path(sys.argv.pop(1)))
    select.why_no_gpu = lambda: ""
    if machine is not None:
        preload()
        device_client.ChildProcess = partial(_forked, machine)  # type: ignore[assignment, misc]
    main()
