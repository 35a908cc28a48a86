"""Checks of the machine: GPU, memory, open files, installed extras."""

from __future__ import annotations

import resource
from importlib.util import find_spec
from pathlib import Path

from lungsev.runtime.checks.check import Check
from lungsev.runtime.settings import BedsideSettings

_LEAST_MEMORY_MB = 1500
_LEAST_FILES = 512


def check_gpu(backend: str) -> Check:
    """Check that a GPU, where there is one, can be used."""
    from lungsev.errors import BackendError
    from lungsev.inference.tensorrt.cuda import count_devices
    from lungsev.inference.tensorrt.library import load_tensorrt

    devices = count_devices()
    try:
        library = load_tensorrt()
    except BackendError as error:
        if devices:
            return Check("gpu", False, f"{devices} GPU, no TensorRT: images run on the CPU", str(error))
        return Check("gpu", True, "none: images run on the CPU with ONNX Runtime")
    if not devices and backend == "auto":
        return Check("gpu", True, f"none, though {library.flavour} is installed: images run on the CPU")
    if not devices:
        advice = "check the driver with nvidia-smi or tegrastats, or set model.backend to onnxruntime"
        return Check("gpu", False, f"{library.flavour} {library.version}, but no GPU can be reached", advice)
    return Check("gpu", True, f"{devices} GPU, {library.flavour} {library.version}")


def check_memory() -> Check:
    """Check that there is memory for one image."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1024
    except (OSError, StopIteration, ValueError):
        return Check("memory", True, "unknown here")
    return Check("memory", free > _LEAST_MEMORY_MB, f"{free:.0f} MB free", "end other programs; an image needs 1.5 GB")


def check_open_files() -> Check:
    """Check the number of files that a process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Check("open files", soft >= _LEAST_FILES, f"limit {soft}", "raise it: ulimit -n 4096, or LimitNOFILE=4096")


def check_extras(settings: BedsideSettings) -> Check:
    """Check that the packages of the switched-on parts are installed."""
    needed = {
        "pynetdicom": settings.listen.enabled or any(d.kind == "dicom" for d in settings.destinations),
        "highdicom": any(name.startswith("dicom") for name in settings.outputs),
        "fastapi": settings.dashboard.enabled,
    }
    missing = [name for name, is_needed in needed.items() if is_needed and find_spec(name) is None]
    used = [name for name, is_needed in needed.items() if is_needed]
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(used) or "none needed"
    return Check("extras", not missing, found, 'pip install "lungsev[bedside]"')
