from __future__ import annotations

from dataclasses import replace

import numpy as np
from bedside_images import QuickModel
from prometheus_client.parser import text_string_to_metric_families

from lungsev.inference.status import BackendStatus
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, SeverityReport, Timing
from lungsev.runtime.delivery.deliveries import DestinationState
from lungsev.runtime.watcher.metrics import GAUGES, STAGES, Metrics

CANARY = ImageInfo(patient_id="CANARY", sop_instance_uid="1.2.CANARY")


def scored(timing: Timing) -> SeverityReport:
    black = Brightness(np.zeros((8, 8), np.float32))
    report = QuickModel().score_radiograph(Radiograph(black, CANARY, (0, 0, 8, 8))).report
    return replace(report, timing_ms=timing)


def samples(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a page, read by the library that Prometheus tools use."""
    families = text_string_to_metric_families(page.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(page: bytes, name: str, **labels: str) -> float:
    return samples(page)[name, frozenset(labels.items())]


def test_images_and_retries_are_counted_by_status_and_code() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.observe_image(SeverityReport("skipped", CANARY, reason="not_frontal_chest"), 1.0, None)
    metrics.observe_image(scored(Timing()), 1.0, None)
    metrics.count_image("quarantined", "unknown_format")
    metrics.count_retry("decoder_timeout")
    page = metrics.render({}, {})
    assert value(page, "lungsev_images_total", status="skipped", code="not_frontal_chest") == 3
    assert value(page, "lungsev_images_total", status="scored", code="") == 1
    assert value(page, "lungsev_images_total", status="quarantined", code="unknown_format") == 1
    assert value(page, "lungsev_retries_total", code="decoder_timeout") == 1


def test_the_histogram_of_a_stage_holds_its_durations_in_seconds() -> None:
    metrics = Metrics()
    for milliseconds in (3, 300, 3_000_000):
        timing = Timing(decode=milliseconds, prepare=7, infer=7, total=milliseconds)
        metrics.observe_image(SeverityReport("skipped", CANARY, reason="duplicate", timing_ms=timing), 250.0, 0.5)
    page = metrics.render({}, {})
    for bound, count in {"0.01": 1, "0.25": 1, "0.5": 2, "60.0": 2, "+Inf": 3}.items():
        assert value(page, "lungsev_stage_seconds_bucket", stage="decode", le=bound) == count
    assert value(page, "lungsev_stage_seconds_sum", stage="decode") == 3000.303
    assert value(page, "lungsev_stage_seconds_sum", stage="write") == 0.75
    assert value(page, "lungsev_stage_seconds_count", stage="settled_to_report") == 3
    assert value(page, "lungsev_stage_seconds_count", stage="infer") == 0, "a skipped image has no inference"


def test_the_stages_of_a_scored_image_are_all_measured() -> None:
    metrics = Metrics()
    metrics.observe_image(scored(Timing(1, 2, 3, 6)), 4.0, 5.0)
    page = metrics.render({}, {})
    sums = {stage: value(page, "lungsev_stage_seconds_sum", stage=stage) for stage in STAGES}
    assert sums == {
        "decode": 0.001,
        "prepare": 0.002,
        "infer": 0.003,
        "write": 0.004,
        "image": 0.006,
        "settled_to_report": 5.0,
    }


def test_gauges_show_the_values_of_the_last_request() -> None:
    metrics = Metrics()
    metrics.render(dict.fromkeys(GAUGES, 1.0), {"done": 1})
    page = metrics.render(dict.fromkeys(GAUGES, 2.5), {"done": 2, "failed": 0})
    assert {value(page, f"lungsev_{name}") for name in GAUGES} == {2.5}
    assert value(page, "lungsev_ledger_images", state="done") == 2
    assert value(page, "lungsev_ledger_images", state="failed") == 0


def test_deliveries_are_shown_by_destination_and_state() -> None:
    page = Metrics().render({}, {}, [DestinationState("away", 2, 0, 1, 5.0, "no answer")])
    found = {dict(labels)["state"]: count for (name, labels), count in samples(page).items() if "deliveries" in name}
    assert found == {"queued": 2, "sent": 0, "refused": 1}


def test_the_page_holds_no_patient_data_and_nothing_but_lungsev_metrics() -> None:
    metrics = Metrics()
    metrics.observe_image(SeverityReport("failed", CANARY, error="unreadable"), 1.0, None)
    page = metrics.render({}, {})
    assert b"CANARY" not in page
    names = {name for name, _ in samples(page)}
    assert all(name.startswith("lungsev_") for name in names)
    assert not [name for name in names if name.endswith("_created")]


def test_two_watchers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.count_retry("disk")
    assert b"lungsev_retries_total{" not in other.render({}, {})


def test_what_scores_is_one_series_that_changes() -> None:
    metrics = Metrics()
    metrics.render({}, {}, backend=BackendStatus("onnxruntime", "cpu", "fp32", "building"))
    page = metrics.render({}, {}, backend=BackendStatus("tensorrt", "Orin", "fp16", "ready"))
    lines = [line for line in page.decode().splitlines() if line.startswith("lungsev_backend{")]
    assert lines == ['lungsev_backend{backend="tensorrt",device="Orin",precision="fp16",state="ready"} 1.0']
