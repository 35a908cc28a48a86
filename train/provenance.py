"""Where a run was made: device, threads, versions and commit at each start; times and memory at the end.

All of it is in the run's config.yaml, beside the settings: `made_by` of the first start, `continued` with an entry of
each later one. None of it decides whether a run is continued.
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import lungsev
from lungsev.config import read_yaml
from lungsev.inference.cpus import usable_cpus
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION
from lungsev.system import write_atomically

PACKAGES = ("timm", "lightning", "segmentation-models-pytorch", "numpy", "scikit-learn")
_started: dict[Path, float] = {}  # run folders of this process, and when it began with them


def describe_start(folder: Path, accelerator: str) -> dict[str, Any]:
    """Return who trains in a folder from now on, for its config.yaml.

    Args:
        folder: Run folder; the time until `describe_end` of the same folder is its duration.
        accelerator: `loop.accelerator` of its settings.
    """
    import cv2
    import torch

    from lungsev.train.data.loaders import world_size
    from lungsev.train.fitting.device import device_of

    _started[folder] = time.monotonic()
    device = device_of(accelerator)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    commit, is_changed = source_state(Path(lungsev.__file__).resolve().parent.parent)
    return {
        "command": " ".join(["lungsev-train", *sys.argv[1:]]),
        "started_at": _now(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "CPU",
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "threads": torch.get_num_threads(),
        "processes": world_size(),
        "lungsev": lungsev.__version__,
        "commit": commit,
        "uncommitted_changes": is_changed,
        "preprocessing": PREPROCESSING_VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cuda": torch.version.cuda if on_gpu else None,
        "torch": str(torch.__version__),
        "opencv": cv2.__version__,
        **{name: _version(name) for name in PACKAGES},
    }


def describe_end(folder: Path) -> dict[str, Any]:
    """Return when this process ended with a folder, how long it took, and the most memory it has held so far."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB; bytes on macOS
    found: dict[str, Any] = {
        "ended_at": _now(),
        "seconds": round(time.monotonic() - _started[folder], 1) if folder in _started else None,
        "peak_memory_mib": peak // (1024**2 if sys.platform == "darwin" else 1024),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated() // 1024**2
    return found


def note_continuation(folder: Path, accelerator: str) -> None:
    """Add another start to the config.yaml of a run."""
    document = read_yaml(folder / "config.yaml", own=True)
    document["continued"] = [*document.get("continued", []), describe_start(folder, accelerator)]
    write_config(folder, document)


def note_end(folder: Path) -> None:
    """Add the end to the latest start in the config.yaml of a run."""
    document = read_yaml(folder / "config.yaml", own=True)
    latest = document["continued"][-1] if document.get("continued") else document.setdefault("made_by", {})
    latest.update(describe_end(folder))
    write_config(folder, document)


def write_config(folder: Path, document: dict[str, Any]) -> None:
    """Replace a run's config.yaml; a kill leaves the old one."""
    write_atomically(folder / "config.yaml", yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, as Linux lists it or Python knows it."""
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def source_state(root: Path) -> tuple[str, bool | None]:
    """Return the commit of the source tree that lungsev runs from, and whether its files differ from that commit.

    An installed wheel has neither, also where it is installed below somebody's repository: (`unknown`, None).
    """
    if _git(root, "ls-files", "--error-unmatch", "lungsev/__init__.py") is None:
        return "unknown", None
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return commit or "unknown", None if changes is None else bool(changes)


def _git(root: Path, *words: str) -> str | None:
    try:
        found = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _now() -> str:
    return datetime.now().isoformat(timespec="seconds")
