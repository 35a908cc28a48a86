"""Code that uses a shared model: shown on its card, and beside it as a script."""

from __future__ import annotations

from lungsev.schemes import Scheme

_NETWORK = """from pathlib import Path

import torch

from lungsev.networks import load_network
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.read import read_radiograph

network = load_network(FOLDER)
canvas = to_canvas(read_radiograph(Path(IMAGE))).pixels  # [512, 512], 0-1, bone bright
with torch.inference_mode():
    outputs = network(torch.from_numpy(canvas)[None, None])
print(outputs["probabilities.SCHEME"][0])  # [regions, grades]
"""
_BUNDLE = """from pathlib import Path

import lungsev

# Leave allow_unsigned out where the key of the model's makers is trusted.
with lungsev.load(Path(FOLDER) / "bundle", allow_unsigned=True) as model:
    report = model.score(IMAGE)
print(report.status, {name: score.total for name, score in report.scores.items()})
"""


def network_code(scheme: Scheme) -> str:
    """Return how the network is used from within its folder."""
    return _filled(_NETWORK.replace("SCHEME", scheme.name), '"."', '"image.dcm"')


def bundle_code() -> str:
    """Return how the bundle is used from within the folder that it is in."""
    return _filled(_BUNDLE, '"."', '"image.dcm"')


def script(scheme: Scheme | None) -> str:
    """Return `example.py`, which takes an image: of the network with this scheme, or of the bundle alone."""
    code = _BUNDLE if scheme is None else _NETWORK.replace("SCHEME", scheme.name)
    needs = "lungsev" if scheme is None else "lungsev with its extra train"
    head = f'"""Grade one image: python example.py image.dcm. Needs {needs}."""\n\nimport sys\n'
    return head + _filled(code, "Path(__file__).parent", "sys.argv[1]")


def _filled(code: str, folder: str, image: str) -> str:
    return code.replace("FOLDER", folder).replace("IMAGE", image)
