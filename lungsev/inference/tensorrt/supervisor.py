"""Supervisor of the GPU: the CPU scores until an engine is ready, and again whenever the device fails.

One thread goes round: start a device process with the engine; where there is none, build and compare it in another
one; wait until the device fails; after a pause, again. No image waits for any of this, and none is lost by it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

import numpy as np
import numpy.typing as npt

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.backend import Backend, Outputs, check_image
from lungsev.inference.status import BackendStatus, State
from lungsev.inference.tensorrt.attempts import MAX_ATTEMPTS
from lungsev.inference.tensorrt.device_backend import DeviceBackend
from lungsev.inference.tensorrt.device_client import (
    DeviceDiedError,
    DeviceProcess,
    Listener,
    UnpreparedError,
    prepare_in_child,
)
from lungsev.inference.tensorrt.device_process import COMPARING, LOADING
from lungsev.inference.tensorrt.progress import BuildNews
from lungsev.inference.tensorrt.settings import EngineSettings

log = logging.getLogger("lungsev.tensorrt")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 3600.0
_TRUSTED_IMAGES = 100  # after so many without a failure the pauses begin anew

_PASSED = "its engine passed the comparison with the FP32 graph"
_MEANWHILE = "; the CPU scores until then"


def pause_seconds(failures: int, first: float) -> float:
    """Return for how long the device is left alone after failures in a row: doubled each time, up to an hour."""
    return min(LONGEST_PAUSE_SECONDS, first * 2.0 ** min(failures - 1, 20))


class SupervisedBackend:
    """The GPU where it works, the CPU where it does not. Used from one thread, closed explicitly.

    Args:
        bundle: What to run.
        cpu: Scores without the GPU; closed with this.
        settings: Of the engine.
        build: Build an engine where there is none. False uses one that was built before.
        on_change: Called with every new status, on whichever thread it came about.
        first_pause_seconds: After the first failure; doubled after each.

    Attributes:
        name, device, precision, reason: Of the backend that ran the last image, and why it did.
    """

    def __init__(
        self,
        bundle: Bundle,
        cpu: Backend,
        settings: EngineSettings,
        build: bool,
        on_change: Callable[[BackendStatus], None] = lambda status: None,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._bundle = bundle
        self._cpu = cpu
        self._settings = settings
        self._build = build
        self._on_change = on_change  # called by `_tell` alone
        self._pause_seconds = first_pause_seconds
        self._size_px = bundle.manifest.input.size_px
        self._last: Backend = cpu
        self._device: DeviceBackend | None = None
        self._process: DeviceProcess | None = None
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._stop, self._settled, self._device_failed = threading.Event(), threading.Event(), threading.Event()
        self._failure = ""
        self._proven: str | None = None
        self._news = BuildNews()
        self._images_since_failure = 0
        self._row = 0  # failures in a row
        self._deaths_while_preparing = self._deaths_while_loading = 0
        self._status = BackendStatus(cpu.name, cpu.device, cpu.precision, "starting", "TensorRT starts" + _MEANWHILE)
        self.reason = self._status.reason
        self._tell(self._status)
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """See `Backend`."""
        return self._last.name

    @property
    def device(self) -> str:
        """See `Backend`."""
        return self._last.device

    @property
    def precision(self) -> str:
        """See `Backend`."""
        return self._last.precision

    @property
    def status(self) -> BackendStatus:
        """The backend that scores the next image, and why."""
        with self._lock:
            return self._status

    @property
    def in_use(self) -> Backend:
        """The backend that ran the last image."""
        return self._last

    @property
    def failure(self) -> str:
        """How the GPU failed last; empty if it never did."""
        return self._failure

    def wait_until_settled(self) -> BackendStatus:
        """Wait until the GPU scores, or until it is known that it does not."""
        self._settled.wait()
        return self.status

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`; a failure of the GPU is no failure of this."""
        check_image(image, self._size_px)
        with self._lock:
            device, reason = self._device, self._status.reason
        if device is not None:
            outputs = self._infer_on(device, image)
            if outputs is not None:
                self._last, self.reason = device, _PASSED
                return outputs
            reason = self.status.reason
        self._last, self.reason = self._cpu, reason
        return self._cpu.infer(image)

    def close(self) -> None:
        """See `Backend.close`."""
        self._stop.set()
        with self._lock:
            process = self._process if self._device is None else None
        if process is not None:
            process.cancel()
        self._device_failed.set()
        self._thread.join()
        self._cpu.close()

    def __enter__(self) -> SupervisedBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _infer_on(self, device: DeviceBackend, image: npt.NDArray[np.float32]) -> Outputs | None:
        """Run an image on the device; None when the device failed, which is then released."""
        try:
            outputs = device.infer(image)
            if all(np.isfinite(values).all() for values in outputs.values()):
                self._images_since_failure += 1
                return outputs
            self._failure = "the engine gave NaN or infinity"
        except BackendError as error:
            self._failure = str(error)
        self._device = None
        self._set("failed", f"TensorRT failed and is tried again: {self._failure}", failed=True)
        self._device_failed.set()
        return None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._use_device():
                    continue
            except BackendError as error:
                if self._stop.is_set():
                    return
                self._failure = str(error)
                state: State = "unavailable" if isinstance(error, UnpreparedError) else "failed"
                again = " and is tried again" if state == "failed" else ""
                self._set(state, f"TensorRT is not used{again}: {error}", failed=state == "failed")
            except Exception as error:
                log.exception("unexpected error of the supervisor")
                self._set("failed", f"TensorRT is not used: unexpected {type(error).__name__}", failed=True)
            self._settled.set()
            self._row = 1 if self._images_since_failure >= _TRUSTED_IMAGES else self._row + 1
            self._images_since_failure = 0
            self._stop.wait(pause_seconds(self._row, self._pause_seconds))

    def _use_device(self) -> bool:
        """Start the engine and wait for its end, or prepare it; return False where it is to be started at once."""
        try:
            device = DeviceBackend(
                self._bundle, self._settings, self._proven, Listener(say=log.warning), on_process=self._hold
            )
        except UnpreparedError as error:
            if error.hopeless or not self._build:
                advice = "" if error.hopeless else "; lungsev-run engine builds it"
                raise UnpreparedError(f"{error}{advice}", error.fresh, error.hopeless) from None
            self._prepare(error.fresh)
            return False
        except DeviceDiedError as error:
            if not self._must_be_built_again(error):
                raise
            self._prepare(fresh=True)
            return False
        self._device_failed.clear()
        with self._lock:
            if self._stop.is_set():
                device.close()
                return True
            self._device = device
        self._set("ready", _PASSED, of=device)
        log.warning("TensorRT %s on %s is used from now on", device.precision, device.device)
        self._settled.set()
        self._device_failed.wait()
        self._device = None
        device.close()
        return True

    def _must_be_built_again(self, error: DeviceDiedError) -> bool:
        """Return whether the engine ended its process so often when it was loaded that another one is built, once."""
        if error.doing != LOADING or not self._build or self._stop.is_set():
            return False
        self._deaths_while_loading += 1
        if self._deaths_while_loading != MAX_ATTEMPTS:
            return False
        log.warning("the engine ended its process %d times when it was loaded, and is built again", MAX_ATTEMPTS)
        return True

    def _prepare(self, fresh: bool) -> None:
        """Build and compare the engine. Raises BackendError as `prepare_in_child`."""
        if self._deaths_while_preparing >= MAX_ATTEMPTS:
            raise UnpreparedError(f"the engine was tried {MAX_ATTEMPTS} times: {self._failure}", False, True)
        self._news = BuildNews()
        self._set("building", "the TensorRT engine is being built" + _MEANWHILE)
        listener = Listener(log.warning, self._show, self._follow)
        try:
            engine = prepare_in_child(self._bundle, self._settings, listener, fresh, on_process=self._hold)
        except BackendError as error:
            self._failure = str(error)
            self._deaths_while_preparing += 1
            raise
        self._deaths_while_preparing = 0
        self._proven = engine["plan_sha256"]

    def _hold(self, process: DeviceProcess) -> None:
        with self._lock:
            self._process = process
        if self._stop.is_set():
            process.cancel()

    def _follow(self, what: str) -> None:
        if what == COMPARING:
            self._set("comparing", "the TensorRT engine is being compared with the FP32 graph" + _MEANWHILE)

    def _show(self, phase: str, share: float) -> None:
        with self._telling:
            with self._lock:
                changed = self._status = replace(self._status, phase=phase, share=share)
            if self._news.is_new(phase, share):
                log.info("building the TensorRT engine: %.0f%% (%s)", share * 100, phase)
            self._tell(changed)

    def _set(self, state: State, reason: str, of: Backend | None = None, failed: bool = False) -> None:
        of = of or self._cpu
        with self._telling:  # in their order
            with self._lock:
                before = self._status
                failures = before.failures + int(failed)
                status = BackendStatus(of.name, of.device, of.precision, state, reason, failures=failures)
                self._status = status
            if before.reason != reason:
                log.log(logging.WARNING if status.is_degraded else logging.INFO, "%s", status)
            self._tell(status)

    def _tell(self, status: BackendStatus) -> None:
        try:
            self._on_change(status)
        except Exception:  # who listens must not stop the scoring
            log.exception("the status of the backend was not taken: %s", status)
