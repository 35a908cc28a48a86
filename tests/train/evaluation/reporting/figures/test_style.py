"""Figures are files whose text is text, the same each time, and cut nothing."""

from __future__ import annotations

from matplotlib.figure import Figure
from report_runs import read_images, run

from lungsev.train.evaluation.reporting.figures.style import as_jpeg, legend_below, rendered, sources, wrapped

NAME = "a network with a long name that would not fit into one line of a legend"


def drawn() -> Figure:
    figure = Figure(figsize=(2, 1.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=NAME)
    axes.set_title("A title that is wider than the axes it stands above, and would be cut", fontsize=12)
    return legend_below(figure, axes)


def test_text_stays_text_in_vector_files_which_are_the_same_each_time() -> None:
    first, second = rendered(drawn()), rendered(drawn())
    assert first == second
    assert first["png"].startswith(b"\x89PNG")
    assert b"A title that is wider than the axes" in first["svg"]
    assert b"/Type0" in first["pdf"]  # TrueType, not outlines
    assert b"/Type3" not in first["pdf"]
    assert as_jpeg(drawn()).startswith(b"\xff\xd8")


def test_a_title_wider_than_its_figure_makes_the_picture_wider() -> None:
    width = int.from_bytes(rendered(drawn())["png"][16:20], "big")
    assert width > 2 * 150 * 1.2


def test_long_names_are_wrapped_and_none_is_cut() -> None:
    assert max(map(len, wrapped(NAME, 30).splitlines())) <= 30
    assert wrapped(NAME, 30).replace("\n", " ") == NAME
    assert drawn().legends[0].get_texts()[0].get_text().replace("\n", " ") == NAME


def test_sources_are_said_once_where_runs_share_them() -> None:
    runs = [run("a", {"test": read_images(48, 0.5)}), run("b", {"test": read_images(48, 0.9)})]
    assert sources(runs, [each.measure("mae") for each in runs]) == "test part: 48 images of 24 patients"
    runs.append(run("c", {"consensus": read_images(9, 0.9)}))
    assert sources(runs, [each.measure("mae") for each in runs]) == (
        "a, b: test part: 48 images of 24 patients; c: consensus part: 9 images of 5 patients"
    )
