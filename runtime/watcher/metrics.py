"""Counters and histograms in the Prometheus text format, without a patient in them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from lungsev.report import SeverityReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
STAGES = ("decode", "prepare", "infer", "write", "image", "settled_to_report")


class Metrics:
    """Safe to use from several threads; holds numbers of this process only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: Counter[tuple[str, str]] = Counter()
        self._retries: Counter[str] = Counter()
        self._buckets = {stage: [0] * (len(_BOUNDS_SECONDS) + 1) for stage in STAGES}
        self._sums = dict.fromkeys(STAGES, 0.0)

    def observe_image(self, report: SeverityReport, write_ms: float, since_settled_s: float | None) -> None:
        """An image that ended with a result."""
        timing = report.timing_ms
        self.count_image(report.status, report.reason or "")
        self.observe("decode", timing.decode / 1000)
        self.observe("image", timing.total / 1000)
        self.observe("write", write_ms / 1000)
        if report.status == "scored":
            self.observe("prepare", timing.prepare / 1000)
            self.observe("infer", timing.infer / 1000)
        if since_settled_s is not None:
            self.observe("settled_to_report", since_settled_s)

    def count_image(self, status: str, code: str) -> None:
        with self._lock:
            self._images[status, code] += 1

    def count_retry(self, code: str) -> None:
        with self._lock:
            self._retries[code] += 1

    def observe(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._buckets[stage][bisect_left(_BOUNDS_SECONDS, seconds)] += 1
            self._sums[stage] += seconds

    def render(self, gauges: Mapping[str, float], states: Mapping[str, int]) -> str:
        """The page /metrics serves.

        Args:
            gauges: Name without the `lungsev_` prefix to value.
            states: Images of the ledger by state.
        """
        lines: list[str] = []
        with self._lock:
            lines += _family("images_total", "counter", "Images that ended, since the process started.")
            lines += [
                f'lungsev_images_total{{status="{status}",code="{code}"}} {count}'
                for (status, code), count in sorted(self._images.items())
            ]
            lines += _family("retries_total", "counter", "Attempts put off, by cause.")
            lines += [f'lungsev_retries_total{{code="{code}"}} {n}' for code, n in sorted(self._retries.items())]
            lines += _family("ledger_images", "gauge", "Images of the ledger by state.")
            lines += [f'lungsev_ledger_images{{state="{state}"}} {count}' for state, count in states.items()]
            for name, value in gauges.items():
                lines += [*_family(name, "gauge", name.replace("_", " ")), f"lungsev_{name} {value:g}"]
            lines += _family("stage_seconds", "histogram", "Time of each stage of an image.")
            for stage in STAGES:
                lines += self._histogram(stage)
        return "\n".join(lines) + "\n"

    def _histogram(self, stage: str) -> list[str]:
        total = 0
        lines = []
        for bound, count in zip((*map(str, _BOUNDS_SECONDS), "+Inf"), self._buckets[stage], strict=True):
            total += count
            lines.append(f'lungsev_stage_seconds_bucket{{stage="{stage}",le="{bound}"}} {total}')
        return [
            *lines,
            f'lungsev_stage_seconds_sum{{stage="{stage}"}} {self._sums[stage]:.6f}',
            f'lungsev_stage_seconds_count{{stage="{stage}"}} {total}',
        ]


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP lungsev_{name} {text}", f"# TYPE lungsev_{name} {kind}"]
