"""One table in four formats: the same numbers, escaped as each asks."""

from __future__ import annotations

import csv
import io
import re

import pytest
from report_runs import read_images, run

from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.reporting.cells import Table
from lungsev.train.evaluation.reporting.comparisons import compare
from lungsev.train.evaluation.reporting.formats import as_csv, as_html, as_latex, as_markdown, latex_text

FEW = measure(read_images(6, 0.8), "accuracy")
HARSH = "50% & $x_1$ #2 {a}~^b \\c <d> | [e]"


@pytest.fixture
def table() -> Table:
    return Table("accuracies", "Accuracy & more", ("run", ""), ((HARSH, FEW),), "A note with 95 %.")


def test_markdown_escapes_the_bar_and_puts_a_head_in_two_lines(table: Table) -> None:
    lines = as_markdown(table).splitlines()
    assert lines[0] == "### Accuracy & more"
    assert lines[2] == "| run | accuracy (argmax), %<br>test part: 6 images of 3 patients |"
    assert re.sub(r"\\\|", "", lines[4]).count("|") == 3
    assert lines[4].endswith(f"| {FEW.text(interval=False)}† {FEW.text().partition(' ')[2]} |")


def unescaped(tex: str) -> str:
    """TeX without comments, escapes and the commands that hold no text."""
    lines = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    return re.sub(r"\\\\|\\[%&$#_{}]", "", lines)


def test_latex_is_balanced_and_every_special_character_is_escaped(table: Table) -> None:
    text = unescaped(as_latex(table))
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert text.count("$") % 2 == 0
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end){(\w+)}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    assert body.count("&") == 1  # between two cells, and nowhere else
    assert not set("#%_^~<>|") & set(body)
    assert {r"\toprule", r"\midrule", r"\bottomrule"} <= set(re.findall(r"\\[a-z]+", text))


def test_latex_gives_numbers_their_sign_and_hides_brackets_from_line_breaks() -> None:
    assert latex_text("-1.20 [-2.0, 0.1] ± 3") == "$-$1.20 {[}$-$2.0, 0.1{]} $\\pm$ 3"
    assert latex_text("2-3 points, post-operative") == "2-3 points, post-operative"


def test_csv_has_raw_numbers_in_columns_of_their_own(table: Table) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(table)))
    assert row["run"] == HARSH
    assert float(row["value"]) == 100 * FEW.value
    assert FEW.interval is not None
    assert (float(row["low"]), float(row["high"])) == (100 * FEW.interval[0], 100 * FEW.interval[1])
    kept = ("measure", "part", "decision", "unit", "n", "patients", "seeds", "sd", "p_value", "caution")
    assert [row[key] for key in kept] == ["accuracy", "test", "argmax", "%", "6", "3", "1", "", "", FEW.caution]


def test_csv_of_a_test_has_both_p_values_and_percentage_points() -> None:
    found = compare([run("a", {"test": read_images(48, 0.3)}), run("b", {"test": read_images(48, 1.5)})])
    tested = next(iter(found.tests.values()))
    (row,) = csv.DictReader(io.StringIO(as_csv(Table("p", "P", ("pair", ""), (("b minus a", tested),)))))
    assert row["unit"] == "percentage points"
    assert float(row["value"]) == 100 * tested.difference.value
    assert (float(row["p_value"]), float(row["p_holm"])) == (tested.difference.p_value, tested.p_holm)


def test_a_table_of_text_is_plain_csv() -> None:
    assert as_csv(Table("t", "T", ("run", "split"), (("a", "pafe, seed 42"),))) == 'run,split\na,"pafe, seed 42"\n'


def test_html_escapes_text_and_carries_raw_values(table: Table) -> None:
    page = as_html(table)
    assert "&lt;d&gt;" in page
    assert f"data-value='{100 * FEW.value}'" in page
    assert "data-part='test'" in page
    assert "class='measured caution'" in page
    assert "† 3 patients: too few to say anything." in page
