"""Tensors cross between processes unchanged."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.backend import Outputs
from lungsev.inference.tensorrt.shared_tensors import SharedTensors


def outputs_of(bundle: Bundle) -> Outputs:
    random = np.random.default_rng(0)
    return {output.name: random.random(output.shape, np.float32) for output in bundle.manifest.outputs}


def test_what_one_side_writes_the_other_reads_and_owns(tiny_bundle: Bundle) -> None:
    ours = SharedTensors(tiny_bundle.manifest)
    theirs = SharedTensors(tiny_bundle.manifest, os.dup(ours.descriptor))
    image = np.random.default_rng(1).random((1, 1, 512, 512), np.float32)
    ours.image[...] = image
    outputs = outputs_of(tiny_bundle)
    theirs.write(outputs)
    found = ours.read()
    theirs.write({name: values * 0 for name, values in outputs.items()})
    np.testing.assert_array_equal(theirs.image, image)
    for name, values in outputs.items():
        np.testing.assert_array_equal(found[name], values)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("shape", [None, (1, 3, 2)])
def test_an_output_that_is_missing_or_misshapen_is_refused(tiny_bundle: Bundle, shape: tuple[int, ...] | None) -> None:
    tensors = SharedTensors(tiny_bundle.manifest)
    outputs = outputs_of(tiny_bundle)
    del outputs["theta"]
    if shape is not None:
        outputs["theta"] = np.zeros(shape, np.float32)
    with pytest.raises(BackendError, match=r"theta as .*expected \(1, 2, 3\)"):
        tensors.write(outputs)
    tensors.close()
