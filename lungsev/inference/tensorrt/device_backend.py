"""TensorRT backend in a device process: the canvas goes there in shared memory, the outputs come back in it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import numpy as np
import numpy.typing as npt

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.backend import Outputs, check_image
from lungsev.inference.tensorrt.device_client import START_SECONDS, DeviceProcess, Listener
from lungsev.inference.tensorrt.device_process import INFER, PROFILE, TRANSFER
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.inference.tensorrt.shared_tensors import SharedTensors

INFER_SECONDS = 20.0  # a run of a millisecond that takes this long hangs


class DeviceBackend:
    """A backend whose engine runs in a device process.

    Args:
        bundle: What to run.
        settings: Of its engine, which must have been built and compared.
        proven: Hash of a plan that was compared where it could not be recorded.
        listener: Hears warnings of the child.
        on_process: Called with the process, to cancel it.

    Raises:
        UnpreparedError: There is no engine that may be used.
        BackendError: The device or the child failed.
    """

    name = "tensorrt"

    def __init__(
        self,
        bundle: Bundle,
        settings: EngineSettings,
        proven: str | None = None,
        listener: Listener | None = None,
        on_process: Callable[[DeviceProcess], None] = lambda process: None,
    ) -> None:
        self._size_px = bundle.manifest.input.size_px
        self._tensors: SharedTensors | None = SharedTensors(bundle.manifest)
        self._process = DeviceProcess(bundle, settings, "run", {"proven": proven}, listener)
        on_process(self._process)
        try:
            ready = self._process.do(START_SECONDS, tensors=self._tensors)
        except BaseException:
            self._release()
            raise
        self._process.doing = "scoring an image"
        self.device: str = ready["device"]
        self.precision: str = ready["precision"]

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`. After a BackendError of the device this backend is closed."""
        tensors = self._send(INFER, image)
        return tensors.read()

    def transfer(self, image: npt.NDArray[np.float32]) -> None:
        """See `DeviceMemoryBackend.transfer`."""
        self._send(TRANSFER, image)

    def layer_times(self, image: npt.NDArray[np.float32], runs: int) -> list[tuple[str, float]]:
        """See `LayerTimer.layer_times`."""
        self._process.layers.clear()
        for _ in range(runs):  # the child runs it once more before each, uncounted
            self._send(PROFILE, image)
        return list(self._process.layers)

    def close(self) -> None:
        """See `Backend.close`."""
        self._process.close()
        self._release()

    def _send(self, request: bytes, image: npt.NDArray[np.float32]) -> SharedTensors:
        if self._tensors is None:
            raise BackendError("the TensorRT backend is closed; open it again")
        check_image(image, self._size_px)
        tensors = self._tensors
        np.copyto(tensors.image, image)
        try:
            self._process.ask(request, INFER_SECONDS)
        except BackendError:
            self._release()
            raise
        return tensors

    def _release(self) -> None:
        tensors, self._tensors = self._tensors, None
        if tensors is not None:
            tensors.close()

    def __enter__(self) -> DeviceBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
