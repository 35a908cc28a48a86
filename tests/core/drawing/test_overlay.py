"""The picture of the result: what is on it, and what never is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from standing_reports import CORRECTED, REASON, SIGNER, STOP, in_state

from lungsev.drawing import shapes
from lungsev.drawing.overlay import draw_overlay
from lungsev.drawing.palette import STOP as STOP_RED
from lungsev.drawing.palette import WARNING
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import QualityFlag

SIDE_FLAG = QualityFlag("side_not_verified", "warn", "The file does not say which side is which.")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of text that is drawn, in order."""
    lines: list[str] = []
    draw = shapes.Sheet.text

    def note(self, x, y, text, *arguments, **options):
        lines.append(text)
        return draw(self, x, y, text, *arguments, **options)

    monkeypatch.setattr(shapes.Sheet, "text", note)
    return lines


def test_a_scored_image_shows_total_interval_zones_sides_origin_and_notice(make_scored, words: list[str]) -> None:
    scored = make_scored(grades=(0, 1, 2, 3, 2, 1))
    draw_overlay(scored, 800)
    low, high = scored.report.scores["brixia"].total_interval
    for line in ("9", "of 18", f"{low}–{high}", "80% interval", "R", "L", "Research use only. Not for clinical use."):
        assert line in words
    for code, grade in zip("ABCDEF", "012321", strict=True):
        assert words[words.index(code) - 1] == grade, "each zone's digit stands with its code"
    assert "Acquired 2026-11-22 08:15, view AP" in words
    assert any(line.startswith("Model lungsev-brixia 1.2.0") for line in words)


def test_the_patient_is_not_named_on_the_picture(make_scored, words: list[str]) -> None:
    draw_overlay(make_scored(), 400)
    assert not any("PHANTOM" in line for line in words)


def test_zone_digits_lie_on_the_side_of_their_zone(make_scored, monkeypatch: pytest.MonkeyPatch) -> None:
    places: dict[str, float] = {}
    draw = shapes.Sheet.text

    def note(self, x, y, text, *arguments, **options):
        if text in tuple("ABCDEFRL"):
            places.setdefault(text, x * self.scale)
        return draw(self, x, y, text, *arguments, **options)

    monkeypatch.setattr(shapes.Sheet, "text", note)
    scored = make_scored()
    draw_overlay(scored, 800)
    middle = 800 / max(scored.radiograph.pixels.shape) * scored.radiograph.pixels.shape[1] / 2
    assert all(places[code] < middle for code in "ABCR")
    assert all(places[code] > middle for code in "DEFL")


def test_doubts_are_written_in_words_and_the_sides_marked_as_unsure(make_scored, words: list[str]) -> None:
    draw_overlay(make_scored(flags=(SIDE_FLAG,)), 800)
    text = " ".join(words)
    assert "The file does not say which side is which." in text
    assert "R ?" in words
    assert "L ?" in words
    assert "no problems found" not in text


def test_a_refused_image_says_why_and_shows_neither_score_nor_sides(
    skipped: ScoredRadiograph, words: list[str]
) -> None:
    picture = draw_overlay(skipped, 800)
    text = " ".join(words)
    assert "Not scored" in words
    assert "This is not a frontal chest radiograph." in text
    assert "not_frontal_chest" in text
    assert "Research use only. Not for clinical use." in words
    assert not {"R", "L", "of 18"} & set(words)
    assert not any(line.isdigit() for line in words)
    assert picture.shape[0] > 400


def test_an_image_without_pixels_gets_a_picture_too(failed: ScoredRadiograph, words: list[str]) -> None:
    picture = draw_overlay(failed)
    assert picture.shape[0] > 1280
    assert "send it again" in " ".join(words)
    assert not any(line.isdigit() for line in words)


def test_the_image_is_shown_as_it_is_beside_the_marks(make_scored) -> None:
    scored = make_scored()
    picture = draw_overlay(scored, 800)
    image = cv2.resize(scored.radiograph.pixels, None, fx=800 / 640, fy=800 / 640, interpolation=cv2.INTER_CUBIC)
    top = (picture.shape[0] - 29 - image.shape[0]) // 2
    shown = picture[top : top + image.shape[0], : image.shape[1]].mean(axis=2) / 255
    same = np.abs(shown - np.clip(image, 0, 1)) < 0.03
    assert same.mean() > 0.9
    assert np.abs(shown[:, ::-1] - np.clip(image, 0, 1)).mean() > 2 * np.abs(shown - np.clip(image, 0, 1)).mean()


@pytest.mark.parametrize("scheme", ["inha", "mbrixia", "ralo", "extent"])
def test_every_scheme_can_be_drawn(make_scored, scheme: str, words: list[str]) -> None:
    scored = make_scored(scheme=scheme)
    draw_overlay(scored, 600)
    assert f"of {scored.report.scores[scheme].total_max}" in words


def test_a_scheme_of_ones_own_is_drawn_without_its_definition(make_scored, words: list[str]) -> None:
    scored = make_scored()
    report = replace(scored.report, scores={"ward": scored.report.scores["brixia"]})
    draw_overlay(replace(scored, report=report, severity_map={"ward": scored.severity_map["brixia"]}), 600)
    assert "ward" in words


def test_a_second_scheme_is_mentioned(make_scored, words: list[str]) -> None:
    scored, other = make_scored(), make_scored(scheme="inha")
    report = replace(scored.report, scores={**other.report.scores, **scored.report.scores})
    draw_overlay(replace(scored, report=report), 600)
    assert "Inha ICU pneumonia severity: right upper" in " ".join(words)


@pytest.mark.parametrize("shape", [(900, 300), (300, 900), (237, 240)])
def test_any_shape_of_image_fits(make_scored, shape: tuple[int, int]) -> None:
    scored = make_scored()
    image = replace(scored.radiograph, brightness=Brightness(np.zeros(shape, np.float32)))
    picture = draw_overlay(replace(scored, radiograph=image), 800)
    notice = picture[-20:]
    assert (notice == WARNING).all(axis=2).mean() > 0.7


def test_hostile_words_do_no_harm(skipped: ScoredRadiograph, words: list[str]) -> None:
    evil = "\x1b[31mred\u202e txt\x00" + "w" * 500 + " =cmd|' /C calc'!A1 <script>\n" + "長い"
    draw_overlay(replace(skipped, report=replace(skipped.report, message=evil)), 600)


def test_a_corrected_image_shows_the_readers_grades_and_what_the_model_said(make_scored, words: list[str]) -> None:
    draw_overlay(in_state(make_scored(grades=(0, 1, 2, 3, 2, 1)), "corrected"), 800)
    assert words[words.index("of 18") - 1] == "12"
    for code, grade in CORRECTED.items():
        assert words[words.index(code) - 1] == str(grade)
    text = " ".join(words)
    assert f"Corrected by {SIGNER.replace('Ł', 'L')}; the model said 9 of 18." in text
    assert "model said 0" in words
    assert "Probably worse, 92 %" in words
    assert not any("interval" in line for line in words), "an interval is the model's"


def test_a_red_bar_over_the_picture_says_stop(make_scored, words: list[str]) -> None:
    plain = draw_overlay(in_state(make_scored()), 800)
    assert not (plain[:20] == STOP_RED).all(axis=2).any()
    picture = draw_overlay(in_state(make_scored(), stop=STOP), 800)
    assert (picture[:6] == STOP_RED).all()
    assert " ".join(words).count(f"STOP: {STOP}") == 1
    added = picture.shape[0] - plain.shape[0]
    np.testing.assert_array_equal(picture[added + 2 :], plain[2:])  # the bar's edge is soft


def test_a_superseded_image_is_struck_out_below_a_banner(make_scored, words: list[str]) -> None:
    plain = draw_overlay(in_state(make_scored()), 800)
    picture = draw_overlay(in_state(make_scored(), "superseded"), 800)
    assert f"Superseded: do not use this result. {REASON}" in " ".join(words)
    shown = picture[picture.shape[0] - plain.shape[0] :, :640]
    struck = (shown == STOP_RED).all(axis=2)
    assert struck[:, :120].any()
    assert struck[:, 520:].any()
    assert not (plain == STOP_RED).all(axis=2).any()


def test_an_image_that_was_not_scored_shows_the_stop_too(skipped: ScoredRadiograph, words: list[str]) -> None:
    draw_overlay(replace(skipped, report=replace(skipped.report, stop=STOP)), 800)
    assert f"STOP: {STOP}" in " ".join(words)
