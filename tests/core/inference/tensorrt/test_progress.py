from __future__ import annotations

import pytest

from lungsev.inference.tensorrt.progress import BuildNews, BuildShare, tenth_of


@pytest.fixture
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture
def build(told: list[tuple[str, float]]) -> BuildShare:
    return BuildShare(lambda phase, share: told.append((phase, round(share, 3))))


def test_a_phase_within_a_step_is_a_part_of_that_step(build: BuildShare, told: list[tuple[str, float]]) -> None:
    build.start("engine", None, 4)
    build.start("tactics", "engine", 2)
    build.step("tactics", 0)
    build.step("tactics", 1)
    build.finish("tactics")
    build.step("engine", 0)
    build.start("weights", "engine", 10)
    build.step("weights", 4)
    build.finish("engine")
    shares = [0, 0, 0.125, 0.25, 0.25, 0.25, 0.25, 0.375, 1]
    assert [share for _, share in told] == shares
    assert [phase for phase, _ in told[1:6]] == [
        *(f"tactics {own}%" for own in ("0", "50", "100", "100")),
        "engine 20%",
    ]


def test_the_share_never_falls_within_a_build_and_begins_anew_with_another(
    build: BuildShare, told: list[tuple[str, float]]
) -> None:
    build.start("engine", None, 2)
    for name in ("first", "second"):  # both within the first step
        build.start(name, "engine", 1)
        build.step(name, 0)
        build.finish(name)
    assert [share for _, share in told] == [0, 0, 0.5, 0.5, 0.5, 0.5, 0.5]
    build.finish("engine")
    build.start("another engine", None, 3)
    assert told[-2:] == [("engine 100%", 1.0), ("another engine 0%", 0.0)]


def test_a_builder_that_counts_badly_is_followed_as_far_as_it_goes(
    build: BuildShare, told: list[tuple[str, float]]
) -> None:
    build.start("engine", None, 0)  # no steps
    build.step("engine", 7)
    build.start("late", "engine", 2)  # after the last step
    build.step("late", 0)
    build.step("never started", 3)
    build.finish("never started")
    assert told == [("engine", 0.0), ("engine", 1.0), ("late 0%", 1.0), ("late 50%", 1.0)]


def test_each_tenth_and_each_new_place_of_a_phase_is_worth_a_line_once() -> None:
    news = BuildNews()
    steps = [("nodes 10%", 0.70), ("nodes 10%", 0.71), ("nodes 20%", 0.71), ("costs", 0.72), ("nodes 20%", 0.72)]
    assert [news.is_new(*step) for step in steps] == [True, False, True, True, False]
    assert news.is_new("costs", 0.8)


@pytest.mark.parametrize(("share", "tenth"), [(0.0, 0), (0.099, 0), (0.1, 1), (0.3, 3), (0.7, 7), (1.0, 10)])
def test_tenths_are_counted_when_they_are_done(share: float, tenth: int) -> None:
    assert tenth_of(share) == tenth
