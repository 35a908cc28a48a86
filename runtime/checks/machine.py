"""Checks of the machine: GPU, memory, open files, installed extras."""

from __future__ import annotations

import resource
from importlib.util import find_spec
from pathlib import Path

from lungsev.runtime.checks.check import Check
from lungsev.runtime.settings import BedsideSettings, ModelSettings
from lungsev.runtime.watcher.backend_status import read_backend
from lungsev.system import available_memory_bytes

_LEAST_MEMORY_MB = 1500
_LEAST_FILES = 512


def check_gpu(model: ModelSettings) -> Check:
    """Check in a child process that a GPU, where there is one, can be used, and that it has its engine."""
    from lungsev.bundle.archive import read_bundle
    from lungsev.errors import LungsevError
    from lungsev.inference.select import why_no_gpu
    from lungsev.inference.tensorrt.device_client import probe_device
    from lungsev.inference.tensorrt.hardware import has_nvidia_gpu

    is_required = model.backend == "tensorrt"
    if not is_required and model.backend != "auto":
        return Check("gpu", True, f"not used: model.backend is {model.backend}")
    missing = why_no_gpu()
    if missing:
        advice = f"{missing}; or set model.backend to onnxruntime"
        found = "an NVIDIA GPU without TensorRT" if has_nvidia_gpu() else "none"
        return Check("gpu", not is_required, f"{found}: images run on the CPU", advice, warning=has_nvidia_gpu())
    try:
        facts = probe_device(read_bundle(model.bundle_path()), model.engine)
    except LungsevError as error:
        return Check("gpu", False, "an NVIDIA GPU that cannot be used: images run on the CPU", str(error))
    found = "{device}, compute capability {capability}, driver {driver}, {library} {version}".format_map(facts)
    if facts["engine"] is None:
        advice = "lungsev-run engine builds it now, watch in the background while the CPU scores"
        return Check("gpu", True, f"{found}; no engine: {facts['reason']}", advice, warning=True)
    return Check("gpu", True, f"{found}; engine {facts['engine']}")


def check_bfloat16(model: ModelSettings) -> Check:
    """Say whether grading in bfloat16 is used on this processor, or why not."""
    from lungsev.bundle.archive import read_bundle
    from lungsev.errors import LungsevError
    from lungsev.inference.bfloat16.choice import kept_verdict, why_no_bfloat16
    from lungsev.inference.select import why_no_gpu

    if model.backend not in ("auto", "bfloat16"):
        return Check("bfloat16", True, f"not used: model.backend is {model.backend}")
    if model.backend == "auto" and not why_no_gpu():
        return Check("bfloat16", True, "not used: the GPU scores, and ONNX Runtime until it does")
    advice = "set model.backend to auto or onnxruntime"
    try:
        bundle = read_bundle(model.bundle_path())
        missing = why_no_bfloat16(bundle)
        verdict = None if missing else kept_verdict(bundle, model.threads, model.engine.cache)
    except LungsevError as error:
        return Check("bfloat16", model.backend == "auto", f"not used: {error}", advice)
    if verdict is None:
        found = f"not used: {missing}" if missing else "not compared with FP32 on this machine yet"
    else:
        found = verdict.reason if verdict.accepted else f"not used: {verdict.reason}"
    used = (verdict is None and not missing) or (verdict is not None and verdict.accepted)
    return Check("bfloat16", used or model.backend == "auto", found, advice)


def check_backend(out: Path) -> Check:
    """Say what a running watcher scores with, and why.

    Args:
        out: Its output folder.
    """
    text, is_degraded = read_backend(out)
    advice = "lungsev-run engine builds the engine and says what fails; see the log of the watcher"
    return Check("backend", True, text or "no watcher runs on this folder", advice, warning=is_degraded)


def check_memory() -> Check:
    """Check that there is memory for one image."""
    available = available_memory_bytes()
    if available is None:
        return Check("memory", True, "unknown here")
    free = available / 2**20
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
