"""Status of the backend: which one scores now, and why.

The one place that doctor, /readyz, /metrics, the report and the board take it from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lungsev.inference.backend import Backend

State = Literal["fixed", "starting", "building", "comparing", "ready", "failed", "unavailable"]
STATES: tuple[State, ...] = ("fixed", "starting", "building", "comparing", "ready", "failed", "unavailable")


@dataclass(frozen=True)
class BackendStatus:
    """The backend that scores now.

    Attributes:
        name: For example `onnxruntime`.
        device: For example `cpu`.
        precision: `fp32`, `bf16` or `fp16`.
        state: Of the GPU: `fixed` where there is none to wait for, `ready` where it scores, `failed` where it is tried
            again, `unavailable` where it cannot be used as it is; the others are the way to `ready`.
        reason: Why this backend, in a sentence without its full stop.
        phase: Of a build that goes on, in the builder's words.
        share: How much of it is done, 0-1.
        failures: How often the GPU failed since the start.
    """

    name: str
    device: str
    precision: str
    state: State = "fixed"
    reason: str = ""
    phase: str = ""
    share: float = 0.0
    failures: int = 0

    @property
    def is_degraded(self) -> bool:
        """Whether a GPU that should score does not, and a person should know."""
        return self.state in ("failed", "unavailable")

    @property
    def sentence(self) -> str:
        """What scores and why, without the progress of a build."""
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.name} {self.precision} on {self.device}{reason}"

    def __str__(self) -> str:
        return f"{self.sentence} ({self.share:.0%}, {self.phase})" if self.phase else self.sentence


def in_use(backend: Backend) -> Backend:
    """Return the backend that ran the last image: of a supervised one the GPU or the CPU, any other itself."""
    used: Backend = getattr(backend, "in_use", backend)
    return used


def describe_backend(backend: Backend) -> BackendStatus:
    """Return the status of any backend; one that is not supervised says `reason` itself, if it has one."""
    status = getattr(backend, "status", None)
    if isinstance(status, BackendStatus):
        return status
    return BackendStatus(backend.name, backend.device, backend.precision, reason=reason_of(backend))


def reason_of(backend: Backend) -> str:
    """Return why this backend ran the last image."""
    return str(getattr(backend, "reason", ""))
