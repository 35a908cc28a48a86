"""How much of the network's entry must stay FP32 so that the half graph passes its gate: found by measuring.

The first layers on the image cost little and decide most: a stem of 288 weights alone moved the grades of the packaged
network more than everything behind it. So FP32 grows from the image inwards, a tenth of the network's depth at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx

from lungsev.bundle.manifest import Manifest
from lungsev.errors import ParityError
from lungsev.export.graph.fp16 import HalfGraph, half_from_onnx, named_constants, names_of_warp
from lungsev.export.graph.half_rounding import with_explicit_rounding
from lungsev.inference.backend import Outputs
from lungsev.inference.onnxruntime import open_session
from lungsev.inference.parity import HALF_TOLERANCE, Infer, Parity, ParityCase, compare

STEPS = 10
PROBES = 20
LEAST_SHARE = 0.1

Say = Callable[[str], None]


def half_within_tolerance(
    graph: bytes,
    cases: Sequence[ParityCase],
    manifest: Manifest,
    say: Say = lambda _: None,
    probes: int = PROBES,
    full: bytes | None = None,
) -> tuple[HalfGraph, tuple[Parity, ...]]:
    """The half graph with the shallowest FP32 entry the gate allows.

    Args:
        graph: FP32 graph to convert.
        cases: What the gate compares on.
        probes: The search looks at the first so many cases; only what passes there is compared on all of them.
        full: The FP32 graph that ships, which the half graph is compared with; None: the one that is converted.

    Returns:
        The graph and the comparisons it passed: rounded as a GPU rounds, and as ONNX Runtime computes it here.

    Raises:
        ParityError: Hardly any of the arithmetic can be in half precision.
    """
    reference = Remembered(run_graph(full or graph), cases)
    depths = conv_depths(graph)
    step = max(depths.values(), default=0) // STEPS
    worst: Parity | None = None
    for depth in range(step, max(depths.values(), default=0) + 1, max(1, step)):
        half = half_from_onnx(graph, {name for name, own in depths.items() if own <= depth} if depth else ())
        if worst is not None and half.half_share < LEAST_SHARE:
            break
        runners = (
            ("ONNX FP16, rounded as a GPU does", run_graph(with_explicit_rounding(half.data))),
            ("ONNX FP16", run_graph(half.data)),
        )
        for on in (cases[:probes], cases) if len(cases) > probes else (cases,):
            parities = tuple(compare(("ONNX FP32", reference.infer), runner, on, manifest) for runner in runners)
            if not all(parity.within(HALF_TOLERANCE) for parity in parities):
                break
        else:
            return half, parities
        worst = next(parity for parity in parities if not parity.within(HALF_TOLERANCE))
        say(f"{half.half_share:.1%} of the arithmetic in half is too far away: {worst}")
    raise ParityError(
        f"this network does not keep its grades in half precision even with {1 - half.half_share:.0%} of its "
        f"arithmetic in FP32 ({worst}); export it without --fp16"
    )


def conv_depths(graph: bytes) -> dict[str, int]:
    """Convolutions between the image, or the image as it was warped, and each operation: the most there are."""
    model = onnx.load_from_string(graph)
    named_constants(model.graph)
    warp = names_of_warp(model.graph)
    reached: dict[str, int] = {}
    depths: dict[str, int] = {}
    for node in model.graph.node:
        before = 0 if node.name in warp else max((reached.get(name, 0) for name in node.input), default=0)
        depths[node.name] = before + (node.op_type == "Conv")
        reached.update(dict.fromkeys(node.output, depths[node.name]))
    return depths


def run_graph(graph: bytes) -> Infer:
    """A graph on the CPU as a function of the image."""
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]

    def infer(image: np.ndarray) -> Outputs:
        return dict(zip(names, session.run(names, {"image": image}), strict=True))

    return infer


class Remembered:
    """What something answered to each case, asked once for all comparisons."""

    def __init__(self, infer: Infer, cases: Iterable[ParityCase]) -> None:
        self._answers = {id(case.image): infer(case.image) for case in cases}

    def infer(self, image: np.ndarray) -> Outputs:
        return self._answers[id(image)]
