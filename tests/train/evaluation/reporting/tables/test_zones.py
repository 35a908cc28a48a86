"""Every zone by itself, of model and reader."""

from __future__ import annotations

from report_runs import read_images, run

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.readers import second_reader
from lungsev.train.evaluation.reporting.cells import shown
from lungsev.train.evaluation.reporting.tables.zones import zone_table


def test_each_zone_has_its_measure_and_runs_of_another_scheme_are_left_out() -> None:
    one = run("one", {"test": read_images(24, 0.6)})
    inha = run("inha", {"test": read_images(24, 0.6, scheme=load_scheme("inha"))})
    table = zone_table([one, inha], one.predictions.scheme, "kappa")
    assert [row[0] for row in table.rows] == ["one", "one", "reader junior against senior"]
    assert table.rows[0][1:] == tuple(one.measure("kappa", "test", region=code) for code in "ABCDEF")
    pair = second_reader(one.predictions)
    assert pair is not None
    assert table.rows[2][6] == pair.measure("kappa", "read by both of the test", "F")
    assert [head for head, _ in shown(table).heads][2:4] == [
        "quadratic kappa (argmax, A)",
        "quadratic kappa (argmax, B)",
    ]
    assert all("quadratic" not in cell.remark for row in shown(table).rows for cell in row)
