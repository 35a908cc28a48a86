"""What the quality gate says: codes for machines, sentences for people."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lungsev.quality.messages import FLAG_CODES, NOTES, make_flag, with_missing_zones
from lungsev.report import Quality, QualityFlag, RegionScore


@pytest.mark.parametrize("code", FLAG_CODES)
def test_every_message_is_one_or_more_whole_sentences_about_the_x_ray(code: str) -> None:
    flag = make_flag(code)
    assert re.fullmatch(r"[a-z_]+", flag.code)
    assert all(sentence[0].isupper() for sentence in re.split(r"(?<=\.) ", flag.message))
    assert flag.message.endswith(".")
    assert not re.search(r"\b(film|pixel spacing|theta|mask|polarity)\b", flag.message)


def test_a_flag_has_its_code_its_severity_and_its_message() -> None:
    assert make_flag("tilted") == QualityFlag("tilted", "warn", "The patient is tilted on the X-ray.")
    assert make_flag("side_not_verified").severity == "info"
    with pytest.raises(KeyError):
        make_flag("beautiful")


def test_these_and_only_these_refuse_an_image() -> None:
    assert {code for code in FLAG_CODES if make_flag(code).severity == "refuse"} == {
        "blank", "inverted", "rotated", "not_frontal_chest", "lungs_not_found", "several_images", "apex_missing",
        "base_missing", "leaning", "part_missing", "grey_table_unusable",
    }  # fmt: skip


def test_notes_of_the_reading_have_flags_that_do_not_refuse() -> None:
    assert set(NOTES) <= set(FLAG_CODES)
    assert all(make_flag(note).severity != "refuse" for note in NOTES)


def test_no_two_flags_say_the_same() -> None:
    assert len({make_flag(code).message for code in FLAG_CODES}) == len(FLAG_CODES)


def test_zones_without_lung_are_named_in_one_sentence() -> None:
    def zone(code: str, name: str) -> RegionScore:
        return RegionScore(code, name, "right", None, None, None, None, ((0, 0), (1, 0), (1, 1)), 0.1, "No lung.")

    low, middle = zone("C", "right lower zone"), zone("B", "right middle zone")
    before = Quality("ok", (make_flag("tilted"),), {"tilt_deg": 9.0})
    why = "A high diaphragm, fluid or dense disease may hide it: look at the X-ray."
    one, two = with_missing_zones(before, [low]), with_missing_zones(before, [middle, low])
    assert (one.verdict, one.measures, one.flags[0]) == ("warn", before.measures, before.flags[0])
    assert one.flags[1].message == "Hardly any lung is seen in zone C (right lower zone), so it gets no grade. " + why
    assert two.flags[1].message == (
        "Hardly any lung is seen in zones B (right middle zone) and C (right lower zone), so they get no grade. " + why
    )
    assert {flags[1].code for flags in (one.flags, two.flags)} == {"zone_not_assessable"}


def test_the_page_for_clinicians_lists_every_refusal_and_warning_in_the_words_of_the_screen() -> None:
    page = (Path(__file__).parents[3] / "docs/good-for.md").read_text(encoding="utf-8")
    shown = {line.removeprefix("- ") for line in page.splitlines()}
    flags = [make_flag(code) for code in FLAG_CODES]
    assert [flag.code for flag in flags if flag.severity != "info" and flag.message not in shown] == []
