from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle_of_lungs

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, SkippedImageError, UnreadableImageError
from lungsev.inference.select import open_backend
from lungsev.phantom import make_non_chest, make_phantom
from lungsev.pipeline import Scorer, StageClock, unscored_report
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, SeverityReport


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Bundle) -> Iterator[Scorer]:
    with open_backend(tiny_bundle) as backend:
        yield Scorer(tiny_bundle, backend)


@pytest.fixture(scope="module")
def chest() -> Radiograph:
    return radiograph_of(make_phantom(3).pixels)


def radiograph_of(pixels: np.ndarray) -> Radiograph:
    rows, columns = pixels.shape
    return Radiograph(Brightness(pixels), ImageInfo(rows=rows, columns=columns), (0, 0, rows, columns))


def test_a_phantom_is_scored(scorer: Scorer, tiny_bundle: Bundle, chest: Radiograph) -> None:
    report = scorer.score(chest).report
    assert report.status == "scored", report.message
    assert [region.code for region in report.scores["brixia"].regions] == list("ABCDEF")
    assert report.model is not None
    assert report.model.bundle_sha256 == tiny_bundle.sha256
    assert (report.model.backend, report.model.device, report.model.precision) == ("onnxruntime", "cpu", "fp32")
    assert report.alignment is not None
    assert SeverityReport.from_json(report.to_json()) == report


def test_what_is_drawn_comes_along(scorer: Scorer, chest: Radiograph) -> None:
    scored = scorer.score(chest)
    assert scored.radiograph is chest
    assert scored.canvas is not None
    assert scored.lung_mask is not None
    assert scored.lung_mask.shape == (64, 64)
    assert scored.severity_map["brixia"].shape == (16, 16)


def test_every_stage_is_timed_and_the_total_is_their_sum(scorer: Scorer, chest: Radiograph) -> None:
    clock = StageClock()
    clock.lap("read")
    scored = scorer.score(chest, clock)
    assert list(scored.stages_ms) == ["read", "prepare", "infer", "decode"]
    assert min(scored.stages_ms.values()) > 0
    timing = scored.report.timing_ms
    assert timing.total == pytest.approx(sum(scored.stages_ms.values()), abs=0.01)
    assert timing.infer == pytest.approx(scored.stages_ms["infer"], abs=0.01)
    assert timing.decode == pytest.approx(scored.stages_ms["read"], abs=0.01)


def test_the_right_lung_is_on_the_left_of_the_image(scorer: Scorer, chest: Radiograph) -> None:
    report = scorer.score(chest).report
    centres = {region.code: np.mean([x for x, _ in region.polygon]) for region in report.scores["brixia"].regions}
    assert max(centres[code] for code in "ABC") < min(centres[code] for code in "DEF")


@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_what_is_no_chest_gets_no_numbers(scorer: Scorer, kind: str) -> None:
    scored = scorer.score(radiograph_of(make_non_chest(kind, seed=0)))
    assert scored.report.status == "skipped"
    assert scored.report.reason == scored.report.quality.flags[0].code
    assert scored.report.message == scored.report.quality.flags[0].message
    assert scored.report.quality.verdict == "refused"
    assert not scored.report.scores
    assert scored.report.alignment is None
    assert scored.lung_mask is None
    assert scored.severity_map == {}
    assert scored.canvas is not None


class BrokenBackend:
    """Gives what a broken device gives."""

    name, device, precision = "broken", "gpu", "fp16"

    def __init__(self, inner: Any, value: float | None) -> None:
        self._inner, self._value = inner, value

    def infer(self, image: np.ndarray) -> dict[str, np.ndarray]:
        if self._value is None:
            raise BackendError("the GPU stopped")
        outputs = self._inner.infer(image)
        outputs["probabilities.brixia"][...] = self._value
        return dict(outputs)


@pytest.mark.parametrize(("value", "message"), [(None, "GPU stopped"), (np.nan, "NaN or infinity in probabilities")])
def test_a_failing_device_is_not_the_fault_of_the_radiograph(
    tiny_bundle: Bundle, chest: Radiograph, value: float | None, message: str
) -> None:
    with open_backend(tiny_bundle) as inner:
        broken: Any = BrokenBackend(inner, value)
        with pytest.raises(BackendError, match=message):
            Scorer(tiny_bundle, broken).score(chest)


def test_notes_of_the_reading_reach_the_report(scorer: Scorer, chest: Radiograph) -> None:
    report = scorer.score(replace(chest, notes=("side_not_verified",))).report
    assert "side_not_verified" in [flag.code for flag in report.quality.flags]


def test_an_image_refused_before_the_network_says_why_in_a_sentence() -> None:
    skipped = unscored_report(SkippedImageError("lateral", "this is a lateral view"), ImageInfo(), None, 1.234)
    assert (skipped.status, skipped.reason, skipped.error) == ("skipped", "lateral", None)
    assert skipped.message == "This is a lateral view."
    assert (skipped.timing_ms.decode, skipped.timing_ms.total) == (1.23, 1.23)
    failed = unscored_report(UnreadableImageError("damaged", "it is damaged."), ImageInfo(), None, 0.0)
    assert (failed.status, failed.reason, failed.error) == ("failed", None, "damaged")
    assert failed.message == "It is damaged."


@pytest.fixture(scope="module")
def lungs_scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    """Scores Brixia, and extent and opacity of each lung; a frame for each lung, the right one reaching far down."""
    bundle = write_tiny_bundle_of_lungs(tmp_path_factory.mktemp("bundle") / "lungs.zip", below=0.9)
    with open_backend(bundle) as backend:
        yield Scorer(bundle, backend)


def test_a_bundle_with_a_frame_for_each_lung_measures_every_zone(lungs_scorer: Scorer, chest: Radiograph) -> None:
    scored = lungs_scorer.score(chest)
    report, score = scored.report, scored.report.scores["brixia"]
    assert report.status == "scored", report.message
    shares = {region.code: region.lung_share or 0.0 for region in score.regions}
    assert shares["C"] < 0.2 < min(share for code, share in shares.items() if code != "C")
    assert [region.code for region in score.regions if region.grade is None] == ["C"]
    assert (score.total, score.partial.of if score.partial else 0) == (None, 6)
    assert report.quality.verdict == "warn"
    flag = report.quality.flags[-1]
    assert flag.code == "zone_not_assessable"
    assert flag.message.startswith("Hardly any lung is seen in zone C (right lower zone), so it gets no grade. ")
    assert np.shape(report.alignment) == (2, 2, 3)
    assert scored.lung_mask is not None
    assert scored.lung_mask.shape == (64, 64)
    assert 0.8 < report.quality.measures["lungs_in_frame"] <= 1
    assert SeverityReport.from_json(report.to_json()) == report


def test_several_schemes_of_one_bundle_are_scored_beside_the_main_one(lungs_scorer: Scorer, chest: Radiograph) -> None:
    report = lungs_scorer.score(chest).report
    assert report.main_scheme == "brixia"
    assert list(report.scores) == ["brixia", "ralo", "ralo_opacity"]
    assert {report.scores[name].total_max for name in ("ralo", "ralo_opacity")} == {8}
    assert min(len(region.polygon) for region in report.scores["ralo"].regions) > 4


def test_an_image_without_any_lung_in_its_zones_is_refused(lungs_scorer: Scorer, chest: Radiograph) -> None:
    class Elsewhere:
        """The backend of the scorer, with frames that miss the lungs."""

        name = device = precision = "fp32"

        def infer(self, image: np.ndarray) -> dict[str, np.ndarray]:
            outputs = lungs_scorer.backend.infer(image)
            corner = np.array([[0.02, 0.0, 0.97], [0.0, 0.02, 0.97]], dtype=np.float32)
            return {**outputs, "theta": np.stack([corner, corner])[None]}

    report = Scorer(lungs_scorer.bundle, Elsewhere()).score(chest).report
    assert (report.status, report.reason, report.scores) == ("skipped", "lungs_not_found", {})
