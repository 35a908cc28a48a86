"""Progress of a build: TensorRT counts the steps of phases within phases, people want the share of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# The builder's phase with the tenths of it that are done, and the share of the whole build, 0-1.
Progress = Callable[[str, float], None]


@dataclass
class _Phase:
    """A phase that goes from `low` to `high` of the build in `steps` steps."""

    low: float
    high: float
    steps: int
    done: int = 0

    @property
    def share(self) -> float:
        return self.low + (self.high - self.low) * self.own

    @property
    def own(self) -> float:
        """The share of this phase alone."""
        return min(1.0, self.done / self.steps)

    def inner(self, steps: int) -> _Phase:
        """A phase within the step that is next."""
        low = min(self.share, self.high - (self.high - self.low) / self.steps)
        return _Phase(low, low + (self.high - self.low) / self.steps, steps)


class BuildShare:
    """From phases within phases to the share of the whole build, which only grows."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of so many steps, within another one or as the outermost."""
        outer = self._phases.get(parent) if parent else None
        if outer is None:
            self._share = 0.0
        phase = outer.inner(max(1, steps)) if outer else _Phase(0.0, 1.0, max(1, steps))
        self._phases[name] = phase
        self._tell(name, phase)

    def step(self, name: str, index: int) -> None:
        """End a step of a phase."""
        phase = self._phases.get(name)
        if phase is not None:
            phase.done = index + 1
            self._tell(name, phase)

    def finish(self, name: str) -> None:
        """End a phase."""
        phase = self._phases.pop(name, None)
        if phase is not None:
            phase.done = phase.steps
            self._tell(name, phase)

    def _tell(self, name: str, phase: _Phase) -> None:
        self._share = max(self._share, phase.share)
        self._progress(name if phase.steps == 1 else f"{name} {tenth_of(phase.own) * 10}%", self._share)


def progress_monitor(trt: Any, progress: Progress) -> Any:
    """Return TensorRT's `IProgressMonitor` that tells of a build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Passes TensorRT's phases on."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.build = BuildShare(progress)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.build.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.build.step(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.build.finish(phase_name)

    return Monitor()


class BuildNews:
    """Decides what of a build is worth a line: each tenth of the whole, and the first time that a phase gets so far.

    The minutes of a build are in few phases, which are a small part of its steps; others come back a thousand times.
    """

    def __init__(self) -> None:
        self._said: set[object] = set()

    def is_new(self, phase: str, share: float) -> bool:
        """Return whether to say it."""
        news = {phase, tenth_of(share)} - self._said
        self._said |= news
        return bool(news)


def tenth_of(share: float) -> int:
    """Return how many tenths are done."""
    return int(share * 10 + 1e-9)
