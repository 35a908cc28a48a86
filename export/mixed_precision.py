"""Which further parts must stay FP32 so that the half graph passes its gate: found by measuring, not by guessing.

Run only when the plain half graph does not pass. The arithmetic is cut into stretches of equal cost along the graph;
each is tried in half precision alone, and those that move the answer most per operation go back to FP32 first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx

from lungsev.errors import ParityError
from lungsev.inference.backend import Outputs
from lungsev.inference.onnx_backend import open_session
from lungsev.inference.parity import HALF_TOLERANCE, Parity, ParityCase, compare
from lungsev.manifest import Manifest

from .fp16_from_onnx import HalfGraph, find_islands, half_from_onnx, named_constants
from .graph_costs import node_flop, tensor_shapes, with_shapes
from .half_rounding import with_explicit_rounding

STRETCHES = 12
# The gate is asked with some of its tolerance in hand: a GPU rounds in another order than the CPU here.
HEADROOM = 0.7
PROBES = 20
LEAST_SHARE = 0.1

Say = Callable[[str], None]


def half_within_tolerance(
    graph: bytes,
    cases: Sequence[ParityCase],
    manifest: Manifest,
    say: Say = lambda _: None,
    probes: int = PROBES,
) -> tuple[HalfGraph, Parity]:
    """The half graph with as few additional FP32 stretches as the gate allows.

    Args:
        graph: FP32 graph.
        cases: What the gate compares on.
        probes: The search looks at the first so many cases; only what passes there is compared on all of them.

    Returns:
        The graph and the comparison it passed.

    Raises:
        ParityError: Hardly any of the arithmetic can be in half precision.
    """
    reference = _Remembered(graph, cases)

    def measure(half: HalfGraph, on: Sequence[ParityCase]) -> Parity:
        return compare(
            ("ONNX FP32", reference.infer), ("ONNX FP16", run_graph(with_explicit_rounding(half.data))), on, manifest
        )

    half = half_from_onnx(graph)
    parity = measure(half, cases)
    if _excess(parity) <= 1.0:
        return half, parity
    say(f"the plain half graph is too far away ({parity}): looking for the parts that matter")
    few = cases[:probes]
    stretches = cut_into_stretches(graph)
    everything = {name for stretch in stretches for name in stretch}
    harm = [_excess(measure(half_from_onnx(graph, everything - set(stretch)), few)) for stretch in stretches]
    kept: set[str] = set()
    for index in sorted(range(len(stretches)), key=lambda i: -harm[i]):
        kept |= set(stretches[index])
        half = half_from_onnx(graph, kept)
        if half.half_share < LEAST_SHARE:
            break
        parity = measure(half, few)
        if _excess(parity) <= HEADROOM and len(cases) > len(few):
            parity = measure(half, cases)
        say(f"{half.half_share:.1%} of the arithmetic in half: {parity}")
        if _excess(parity) <= (HEADROOM if len(cases) == len(few) else 1.0) and parity.cases == len(cases):
            return half, parity
    raise ParityError(
        f"this network does not keep its grades in half precision even with {1 - half.half_share:.0%} of its "
        f"arithmetic in FP32 ({parity}; worst on {parity.worst_case}); export it without --fp16"
    )


def cut_into_stretches(graph: bytes, count: int = STRETCHES) -> list[list[str]]:
    """Names of the operations outside the islands, in the graph's order, cut where equal shares of the cost are."""
    model = with_shapes(onnx.load_from_string(graph))
    named_constants(model.graph)
    islands = find_islands(model)
    shapes = tensor_shapes(model)
    nodes = [node for node in model.graph.node if node.name not in islands]
    total = sum(node_flop(node, shapes) for node in nodes) or 1
    stretches: list[list[str]] = [[] for _ in range(count)]
    done = 0
    for node in nodes:
        stretches[min(count - 1, done * count // total)].append(node.name)
        done += node_flop(node, shapes)
    return [stretch for stretch in stretches if stretch]


def run_graph(graph: bytes) -> Callable[[np.ndarray], Outputs]:
    """A graph on the CPU as a function of the image."""
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]

    def infer(image: np.ndarray) -> Outputs:
        return dict(zip(names, session.run(names, {"image": image}), strict=True))

    return infer


class _Remembered:
    """The FP32 graph's answers, computed once for all comparisons."""

    def __init__(self, graph: bytes, cases: Iterable[ParityCase]) -> None:
        run = run_graph(graph)
        self._answers = {id(case.image): run(case.image) for case in cases}

    def infer(self, image: np.ndarray) -> Outputs:
        return self._answers[id(image)]


def _excess(parity: Parity) -> float:
    """How many times the tolerance: above 1 the gate refuses. A changed grade is always too much."""
    worst = max(parity.theta / HALF_TOLERANCE.theta, parity.probabilities / HALF_TOLERANCE.probabilities)
    return max(worst, 1.01 if parity.changed_grades else 0.0)
