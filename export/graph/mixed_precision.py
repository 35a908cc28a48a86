"""Search for the smallest FP32 entry of the network with which the half graph keeps the grades.

The first layers cost little and decide most: rounding a stem of 288 weights changed the grades of the packaged network
more than rounding all later layers. So FP32 grows from the image inwards, a tenth of the network's depth at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx

from lungsev.bundle.manifest import Manifest
from lungsev.errors import ParityError
from lungsev.export.graph.cleanup import with_named_constants
from lungsev.export.graph.costs import with_shapes
from lungsev.export.graph.fp16 import HalfGraph, half_from_onnx
from lungsev.export.graph.half_rounding import with_explicit_rounding
from lungsev.export.graph.islands import conv_depths
from lungsev.inference.backend import Outputs
from lungsev.inference.onnxruntime import open_session
from lungsev.inference.parity import HALF_TOLERANCE, Infer, Parity, ParityCase, compare

STEPS = 10
PROBES = 20
LEAST_SHARE = 0.1

Log = Callable[[str], None]


def half_within_tolerance(
    graph: bytes,
    cases: Sequence[ParityCase],
    manifest: Manifest,
    log: Log = lambda _: None,
    probes: int = PROBES,
    full: bytes | None = None,
) -> tuple[HalfGraph, tuple[Parity, ...]]:
    """Convert with the smallest FP32 entry that stays within HALF_TOLERANCE.

    Args:
        graph: FP32 graph to convert.
        cases: Inputs to compare on.
        manifest: Schemes and calibration, which decide the grades.
        log: Receives one line about each graph that is too far from FP32.
        probes: The search compares on this many cases first, and on all of them only what passes.
        full: FP32 graph to compare with; None is the one that is converted.

    Returns:
        The graph and the comparisons it passed: rounded as a GPU rounds, and as ONNX Runtime computes it here.

    Raises:
        ParityError: Less than LEAST_SHARE of the arithmetic can be in half precision.
    """
    reference = CaseOutputs(run_graph(full or graph), cases)
    depths = conv_depths(with_shapes(with_named_constants(onnx.load_from_string(graph))))
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
        log(f"{half.half_share:.1%} of the arithmetic in half precision is too far from FP32: {worst}")
    raise ParityError(
        f"this network does not keep its grades in half precision even with {1 - half.half_share:.0%} of its "
        f"arithmetic in FP32 ({worst}); export it without --fp16"
    )


def run_graph(graph: bytes) -> Infer:
    """Return a function that runs a graph on the CPU."""
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]

    def infer(image: np.ndarray) -> Outputs:
        return dict(zip(names, session.run(names, {"image": image}), strict=True))

    return infer


class CaseOutputs:
    """Outputs for each case, computed once for all comparisons.

    Args:
        infer: Computes the outputs.
        cases: Inputs.
    """

    def __init__(self, infer: Infer, cases: Iterable[ParityCase]) -> None:
        self._outputs = {id(case.image): infer(case.image) for case in cases}

    def infer(self, image: np.ndarray) -> Outputs:
        """Return the outputs for the image of one of the cases."""
        return self._outputs[id(image)]
