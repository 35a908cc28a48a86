"""Operations of a fused graph that resample the image, and must not be computed in half precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Kind, names of inputs, names of outputs.
Operation = tuple[str, Sequence[str], Sequence[str]]

_PRODUCTS = ("MatMul", "Gemm")


def warp_nodes(operations: Sequence[Operation], inputs: Iterable[str]) -> set[int]:
    """Return the indices of the operations between `theta` and the first weights applied to the warped image.

    They are few and cheap: sample positions, the resampling itself (GridSample, or one product for rows and one for
    columns), and operations that rearrange the crop.

    Args:
        operations: Of the graph, each after those whose results it uses.
        inputs: Names of the graph's inputs; what depends on none of them is a weight.
    """
    computed = set(inputs)
    weighted: set[int] = set()
    for index, (kind, sources, results) in enumerate(operations):
        of_radiograph = [name in computed for name in sources]
        if any(of_radiograph):
            computed.update(results)
        if kind == "Conv" or (kind in _PRODUCTS and not all(of_radiograph[:2])):
            weighted.add(index)
    weighted -= _coordinates(operations)
    found: set[int] = set()
    reached = {"theta"}
    for index, (_, sources, results) in enumerate(operations):
        if index not in weighted and not reached.isdisjoint(sources):
            found.add(index)
            reached.update(results)
    return found


def _coordinates(operations: Sequence[Operation]) -> set[int]:
    """Return what computes GridSample's grid from theta, e.g. a product with the constant base grid."""
    makers = {name: index for index, (_, _, results) in enumerate(operations) for name in results}
    waiting = [sources[1] for kind, sources, _ in operations if kind == "GridSample"]
    found: set[int] = set()
    while waiting:
        name = waiting.pop()
        if name != "theta" and name in makers and makers[name] not in found:
            found.add(makers[name])
            waiting.extend(operations[makers[name]][1])
    return found
