from __future__ import annotations

from pathlib import Path

import pytest
from fake_triton import PLAN, write_plan

from lungsev.bundle.archive import Bundle
from lungsev.errors import BundleError
from lungsev.export.triton.plan import read_plan


def test_a_plan_of_this_bundle_is_taken_with_its_precision(tiny_bundle: Bundle, tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path, tiny_bundle.graph_sha256()), tiny_bundle)
    assert (plan.data, plan.precision) == (PLAN, "fp32")


def test_a_network_by_tensorrt_without_a_plan_says_where_to_get_one(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"needs a plan .* lungsev-export engine"):
        read_plan(None, tiny_bundle)


def test_a_plan_of_another_model_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"was built from graph 000000000000…, expected a graph of tiny 1"):
        read_plan(write_plan(tmp_path, "0" * 64), tiny_bundle)


def test_a_damaged_plan_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is damaged"):
        read_plan(write_plan(tmp_path, tiny_bundle.graph_sha256(), plan=PLAN[:-1]), tiny_bundle)


def test_a_plan_of_tensorrt_rtx_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="was built by tensorrt_rtx, whose plans Triton does not run"):
        read_plan(write_plan(tmp_path, tiny_bundle.graph_sha256(), "tensorrt_rtx"), tiny_bundle)


@pytest.mark.parametrize(("side", "message"), [("[]", "no side file of a plan"), (None, r"cannot read .*engine\.json")])
def test_a_plan_without_its_side_file_is_refused(
    tiny_bundle: Bundle, tmp_path: Path, side: str | None, message: str
) -> None:
    path = write_plan(tmp_path, tiny_bundle.graph_sha256())
    path.with_suffix(".json").unlink()
    if side is not None:
        path.with_suffix(".json").write_text(side)
    with pytest.raises(BundleError, match=message):
        read_plan(path, tiny_bundle)
