"""CSS classes of severities."""

from __future__ import annotations

import pytest

from lungsev.drawing.palette import ink_on, severity_colour
from lungsev.runtime.dashboard.style import palette_css, severity_step


@pytest.mark.parametrize(
    ("value", "lowest", "highest", "step"),
    [(0, 0, 3, 0), (1, 0, 3, 4), (2, 0, 3, 8), (3, 0, 3, 12), (-1, 0, 3, 0), (4, 0, 3, 12), (3, 1, 5, 6), (9, 0, 18, 6),
     (5, 5, 5, 0)],
)  # fmt: skip
def test_a_value_has_the_step_of_its_place_between_the_ends(value: int, lowest: int, highest: int, step: int) -> None:
    assert severity_step(value, lowest, highest) == step


def test_every_step_has_a_class_in_the_colour_of_the_pictures() -> None:
    lines = palette_css().splitlines()
    assert [line.partition("{")[0] for line in lines] == [*(f".sev-{step}" for step in range(13)), ".ramp"]
    for step in (0, 5, 12):
        colour = severity_colour(step / 12)
        assert lines[step] == f".sev-{step}{{--sev:rgb{colour};--sev-ink:rgb{ink_on(colour)}}}"
    first, last = severity_colour(0.0), severity_colour(1.0)
    assert lines[13].startswith(f".ramp{{background:linear-gradient(to right,rgb{first},rgb")
    assert lines[13].endswith(f",rgb{last})}}")
    assert lines[13].count("rgb") == 13
