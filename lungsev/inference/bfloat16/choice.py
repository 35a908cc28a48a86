"""Whether bfloat16 is used on this machine: it must give FP32's grades here, and be faster than ONNX Runtime in FP32.

What was found is kept beside the engines, so that only the first start of a machine compares and measures.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lungsev.bundle.archive import Bundle
from lungsev.bundle.bfloat16 import Bfloat16, packaged_bfloat16
from lungsev.errors import BackendError, ParityError
from lungsev.grading import largest_grade_shift
from lungsev.inference.backend import Backend
from lungsev.inference.bfloat16.backend import Bfloat16Backend
from lungsev.inference.bfloat16.passes import OpenVinoPasses
from lungsev.inference.cpus import cpu_model, has_bfloat16
from lungsev.inference.parity import FP32_TOLERANCE, ParityCase, Tolerance, compare, parity_cases
from lungsev.inference.tensorrt.cache import default_cache_dir
from lungsev.system import write_atomically

_CASES = 4  # phantoms; blank, inverted and saturated images besides
_ROUNDS = 9
_REJECTED_SECONDS = 24 * 3600.0  # then it is tried again: the machine may have been busy
_LEAST_GAIN = 1.05  # times as fast as FP32, below which two models in memory are not worth it


@dataclass(frozen=True)
class Verdict:
    """What was found on this machine.

    Attributes:
        accepted: bfloat16 is used.
        reason: Why, or why not, in a clause.
    """

    accepted: bool
    reason: str


def measured_bfloat16(bundle: Bundle) -> Bfloat16 | None:
    """Return the margins of a bundle's graph: its own, or those that lungsev brings for it, or None."""
    return bundle.manifest.bfloat16 or packaged_bfloat16().get(bundle.graph_sha256())


def why_no_bfloat16(bundle: Bundle) -> str:
    """Return why bfloat16 need not even be tried here, without loading anything; empty if it may be used."""
    if not has_bfloat16():
        return "this processor multiplies no bfloat16 (amx_bf16 or avx512_bf16)"
    if find_spec("openvino") is None:
        return 'OpenVINO is not installed: pip install "lungsev[openvino]"'
    if measured_bfloat16(bundle) is None:
        return "no margins were measured for this bundle: lungsev-export bfloat16 BUNDLE IMAGES"
    return ""


def kept_verdict(bundle: Bundle, threads: int | None, folder: Path | None = None) -> Verdict | None:
    """Return what an earlier start found on this machine; None where nothing can be read, or it is to be tried again.

    Args:
        bundle: With margins, where OpenVINO is installed (`why_no_bfloat16`).
        threads: CPU threads.
        folder: Where verdicts are kept; None is the cache folder of engines.
    """
    file = _file_of(bundle, threads, folder)
    try:
        verdict = Verdict(**json.loads(file.read_text(encoding="utf-8")))
        is_old = time.time() - file.stat().st_mtime > _REJECTED_SECONDS
    except (OSError, ValueError, TypeError):
        return None
    return verdict if verdict.accepted or not is_old else None


def open_bfloat16(bundle: Bundle, threads: int | None, folder: Path | None = None) -> Bfloat16Backend:
    """Open the backend if this machine may use it.

    Args:
        bundle: With margins (`why_no_bfloat16`).
        threads: CPU threads; None is every physical core.
        folder: Where verdicts are kept; None is the cache folder of engines.

    Raises:
        BackendError: It may not, or does not open; says why.
    """
    missing = why_no_bfloat16(bundle)
    if missing:
        raise BackendError(f"bfloat16 is not used: {missing}")
    verdict = kept_verdict(bundle, threads, folder)
    if verdict is not None and not verdict.accepted:
        raise BackendError(f"bfloat16 is not used: {verdict.reason}")
    measured = measured_bfloat16(bundle)
    assert measured is not None  # nothing is missing
    passes = OpenVinoPasses(bundle.graph_bytes(), measured.entry_depth, threads)
    backend = Bfloat16Backend(bundle.manifest, measured, passes)
    try:
        if verdict is None:
            verdict = _judge_beside_fp32(bundle, backend, threads)
            file = _file_of(bundle, threads, folder)
            with suppress(OSError):  # a cache that cannot be written costs the comparison at every start
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, json.dumps(asdict(verdict)))
        if not verdict.accepted:
            raise BackendError(f"bfloat16 is not used: {verdict.reason}")
    except BaseException:
        backend.close()
        raise
    return Bfloat16Backend(bundle.manifest, measured, passes, verdict.reason)


def judge(bundle: Bundle, backend: Bfloat16Backend, fp32: Backend, fastest_ms: Callable[..., list[float]]) -> Verdict:
    """Compare the backend with FP32 on reference inputs, then their times.

    Args:
        bundle: What both run.
        backend: Its first pass must stay within the margins, its result must have FP32's grades.
        fp32: ONNX Runtime.
        fastest_ms: Returns the fastest run of each of several functions.
    """
    cases = list(parity_cases(bundle.manifest.input.size_px, phantoms=_CASES))
    beyond = _beyond_margins(bundle, backend, cases)
    if beyond:
        return Verdict(False, beyond)
    widest = max(backend.measured.grade_margins.values())
    try:
        found = compare(("ONNX Runtime FP32", fp32.infer), ("bfloat16", backend.infer), cases, bundle.manifest)
        found.require(Tolerance(FP32_TOLERANCE.theta, 2 * widest))
    except ParityError as error:
        return Verdict(False, str(error))
    image = cases[0].image
    _, handed = backend.passes.first(image)
    first, again, full = fastest_ms(
        lambda: backend.passes.first(image), lambda: backend.passes.again(handed), lambda: fp32.infer(image)
    )
    mean = first + backend.measured.again * again
    times = f"{mean:.0f} ms an image with {backend.measured.again:.0%} of them graded again, ONNX Runtime {full:.0f} ms"
    if full < _LEAST_GAIN * mean:
        return Verdict(False, f"it is not faster here: {times}")
    return Verdict(True, f"bfloat16 gives FP32's grades here and is faster: {times}")


def _beyond_margins(bundle: Bundle, backend: Bfloat16Backend, cases: list[ParityCase]) -> str:
    """Return where the first pass differs from the second by more than the margins; empty if nowhere."""
    for case in cases:
        once, handed = backend.passes.first(case.image)
        twice = backend.passes.again(handed)
        for scheme in bundle.manifest.schemes:
            name = f"probabilities.{scheme.name}"
            decision = bundle.manifest.scheme_calibration(scheme.name).decision
            shift = largest_grade_shift(twice[name], once[name], decision)
            if not shift <= backend.measured.grade_margins[scheme.name]:
                return (
                    f"it differs by {shift:.3g} from FP32 in {scheme.name} on {case.name}, more than the margin of "
                    f"{backend.measured.grade_margins[scheme.name]:.3g} measured for this bundle"
                )
    return ""


def _judge_beside_fp32(bundle: Bundle, backend: Bfloat16Backend, threads: int | None) -> Verdict:
    from lungsev.inference.onnxruntime import OnnxRuntimeBackend

    with OnnxRuntimeBackend(bundle, threads=threads) as fp32:
        return judge(bundle, backend, fp32, fastest_ms)


def fastest_ms(*functions: Callable[[], object]) -> list[float]:
    """Return the fastest of several runs of each function, in turn, in milliseconds; the first is not counted."""
    taken = [[_milliseconds(function) for function in functions] for _ in range(_ROUNDS + 1)]
    return [float(value) for value in np.min(taken[1:], axis=0)]


def _milliseconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1000


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # built from source
        return "unknown"


def _file_of(bundle: Bundle, threads: int | None, folder: Path | None) -> Path:
    """Return the place of a verdict, by everything that it depends on."""
    measured = measured_bfloat16(bundle)
    parts = [
        bundle.sha256,
        measured.model_dump_json() if measured else "",
        cpu_model(),
        str(threads),
        *map(_version, ("openvino", "onnxruntime")),
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return (folder or default_cache_dir()) / f"bfloat16-{digest[:16]}.json"
