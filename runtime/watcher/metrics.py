"""Prometheus metrics of the watcher, without patient data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric

from lungsev.inference.status import BackendStatus
from lungsev.report import SeverityReport
from lungsev.runtime.delivery.deliveries import DestinationState

CONTENT_TYPE = CONTENT_TYPE_LATEST
STAGES = ("decode", "prepare", "infer", "write", "image", "settled_to_report")
GAUGES = {
    "queue_oldest_seconds": "Age of the oldest unfinished image.",
    "unsettled_files": "Files in the watched folder that are still being written.",
    "unfinished_files": "Files in the watched folder with names of unfinished copies, which are left alone.",
    "results_to_compare": "Images whose result is compared with what was given out, and perhaps amended.",
    "images_to_score_again": "Images that wait for a new score.",
    "disk_free_bytes": "Free space on the disk of the output folder.",
    "paused": "1 while the disk is nearly full and no image is taken.",
    "device_degraded": "1 while a GPU that should score does not.",
    "device_failures": "Failures of the GPU since the process started.",
    "ready": "1 while images can be scored, as /readyz says.",
}
_BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class Metrics:
    """Metrics of one watcher, in a registry of their own. Safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._images = Counter(
            "lungsev_images", "Images finished since the process started.", ("status", "code"), registry=registry
        )
        self._retries = Counter("lungsev_retries", "Attempts postponed, by cause.", ("code",), registry=registry)
        self._stages = Histogram(
            "lungsev_stage_seconds",
            "Duration of each stage of an image.",
            ("stage",),
            registry=registry,
            buckets=_BUCKETS_SECONDS,
        )
        for stage in STAGES:
            self._stages.labels(stage)
        self._ledger = Gauge("lungsev_ledger_images", "Images of the ledger by state.", ("state",), registry=registry)
        self._deliveries = Gauge(
            "lungsev_deliveries", "Results by destination and state.", ("destination", "state"), registry=registry
        )
        self._backend = Gauge(
            "lungsev_backend",
            "1 for what scores now, and the state of the GPU.",
            ("backend", "device", "precision", "state"),
            registry=registry,
        )
        self._gauges = {name: Gauge(f"lungsev_{name}", text, registry=registry) for name, text in GAUGES.items()}

    def observe_image(self, report: SeverityReport, write_ms: float, since_settled_s: float | None) -> None:
        """Count an image that finished with a result, and its durations."""
        timing = report.timing_ms
        self.count_image(report.status, report.reason or "")
        self._observe("decode", timing.decode / 1000)
        self._observe("image", timing.total / 1000)
        self._observe("write", write_ms / 1000)
        if report.status == "scored":
            self._observe("prepare", timing.prepare / 1000)
            self._observe("infer", timing.infer / 1000)
        if since_settled_s is not None:
            self._observe("settled_to_report", since_settled_s)

    def count_image(self, status: str, code: str) -> None:
        """Count a finished image; `code` is the reason of one without a score, else empty."""
        self._images.labels(status, code).inc()

    def count_retry(self, code: str) -> None:
        """Count an attempt that was postponed."""
        self._retries.labels(code).inc()

    def render(
        self,
        gauges: Mapping[str, float],
        states: Mapping[str, int],
        deliveries: Sequence[DestinationState] = (),
        backend: BackendStatus | None = None,
    ) -> bytes:
        """Return the page that /metrics serves, in the text format of Prometheus.

        Args:
            gauges: Current values, by the names of `GAUGES`.
            states: Number of images in each state of the ledger.
            deliveries: State of every destination.
            backend: What scores now.
        """
        if backend is not None:
            self._backend.clear()
            self._backend.labels(backend.name, backend.device, backend.precision, backend.state).set(1)
        for name, value in gauges.items():
            self._gauges[name].set(value)
        for state, count in states.items():
            self._ledger.labels(state).set(count)
        for destination in deliveries:
            for name in ("queued", "sent", "refused"):
                self._deliveries.labels(destination.destination, name).set(getattr(destination, name))
        return bytes(generate_latest(cast(CollectorRegistry, _WithoutCreated(self._registry))))

    def _observe(self, stage: str, seconds: float) -> None:
        self._stages.labels(stage).observe(seconds)


class _WithoutCreated:
    """A registry without its `_created` series: the library can switch them off for the whole process only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
