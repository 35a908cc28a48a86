"""The TensorRT plan of a repository: built from this bundle's graph, for Triton's TensorRT backend."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Precision
from lungsev.errors import BundleError


@dataclass(frozen=True)
class Plan:
    """A plan whose side file fits it and the bundle.

    Attributes:
        data: What TensorRT deserialises.
        precision: Of the graph it was built from.
    """

    data: bytes
    precision: Precision


def read_plan(path: Path | None, bundle: Bundle) -> Plan:
    """Read a plan and the side file that `lungsev-export engine` wrote beside it.

    Raises:
        BundleError: There is no such plan, it is damaged, of another model, or of TensorRT-RTX.
    """
    if path is None:
        raise BundleError(
            "a network by TensorRT needs a plan for the server's GPU; build it there with lungsev-export engine, "
            "and give it with --plan"
        )
    try:
        data = path.read_bytes()
        side = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        built_from, library, expected = side["key"]["graph_sha256"], side["key"]["library"], side["plan_sha256"]
    except OSError as error:
        raise BundleError(
            f"cannot read {error.filename}: {error.strerror or error}; give the plan that lungsev-export engine wrote, "
            "with its side file beside it"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{path.with_suffix('.json')} is no side file of a plan; build the plan again") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise BundleError(f"{path} is damaged: its checksum is not the one in its side file; build it again")
    if library != "tensorrt":
        raise BundleError(f"{path} was built by {library}, whose plans Triton does not run; build it with TensorRT")
    graphs = {bundle.graph_sha256(precision): precision for precision in bundle.precisions}
    if built_from not in graphs:
        raise BundleError(
            f"{path} was built from graph {built_from[:12]}…, expected a graph of {bundle.manifest.name} "
            f"{bundle.manifest.version}; build it from this bundle"
        )
    return Plan(data, graphs[built_from])
