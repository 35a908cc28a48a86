"""What a plan of TensorRT-RTX computes, read from the plan: no device is needed, unlike for the engine inspector.

RTX writes its operations as lines of text; a product's second input is its kernel or weight, whose type is stated.
"""

from __future__ import annotations

import re
from collections import Counter

_TENSOR = re.compile(r'tensor=\{ [^\n]*? name="?([^ "]+)"? [^\n]*?type=(\w+)')
_PRODUCT = re.compile(r"\n  (corrltn|fully_connected)=\{ [^\n]*? input=\{([^}]*)\}")


def products_in(plan: bytes) -> Counter[tuple[str, str]]:
    """Count (`convolution` or `product`, `half` or `float`); of a product of two computed tensors it is unknown."""
    text = plan.decode("latin-1")
    types = dict(_TENSOR.findall(text))
    found: Counter[tuple[str, str]] = Counter()
    for operation, inputs in _PRODUCT.findall(text):
        names = [name.split("^")[0] for name in re.findall(r'"([^"]+)"', inputs)[:2]]
        kind = next((types[name] for name in reversed(names) if name in types), "unknown")
        found["convolution" if operation == "corrltn" else "product", kind] += 1
    return found
