"""Networks in the form in which they are shared: `model.safetensors` and `config.json`, neither of which runs code.

`lungsev.networks.checkpoint.load_network` reads such a folder as it reads a run folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from lungsev import __version__
from lungsev.errors import ConfigError
from lungsev.networks.settings import FusedSettings
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX, PREPROCESSING_VERSION
from lungsev.schemes import load_scheme

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
HUB_FORMAT = 1


def is_hub_folder(folder: Path) -> bool:
    """Tell whether a folder holds a network in its shared form."""
    return (folder / WEIGHTS_FILE).is_file() and (folder / CONFIG_FILE).is_file()


def write_hub_network(folder: Path, settings: FusedSettings, state: dict[str, torch.Tensor]) -> None:
    """Write weights and the settings that rebuild the network; a scheme that is not built in is written beside them.

    Args:
        folder: Exists.
        settings: Of the fused network.
        state: Its state dict.

    Raises:
        ConfigError: A scheme cannot be read.
    """
    schemes = []
    for name in settings.severity.schemes:
        scheme = load_scheme(name)
        schemes.append(name if name == scheme.name else f"scheme-{scheme.name}.yaml")
        if name != scheme.name:
            text = yaml.safe_dump(scheme.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            (folder / schemes[-1]).write_text(text, encoding="utf-8")
    severity = settings.severity.model_copy(update={"schemes": tuple(schemes)})
    document = {
        "format_version": HUB_FORMAT,
        "library_name": "lungsev",
        "lungsev_version": __version__,
        "preprocessing_version": PREPROCESSING_VERSION,
        "input": {"shape": [1, 1, CANVAS_SIZE_PX, CANVAS_SIZE_PX], "range": [0.0, 1.0], "bone": "bright"},
        "settings": settings.model_copy(update={"severity": severity}).model_dump(mode="json"),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    own = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}  # none shares memory
    (folder / WEIGHTS_FILE).write_bytes(save(own, metadata={"format": "pt"}))


def read_hub_network(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the settings of a fused network, not yet validated, and its weights.

    Raises:
        ConfigError: A file is damaged, or of a release that prepares images differently.
    """
    path = folder / CONFIG_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        stated = [document[key] for key in ("format_version", "preprocessing_version")]
        settings = document["settings"]
        schemes = settings["severity"]["schemes"]
        settings["severity"]["schemes"] = [str(folder / name) if name.endswith(".yaml") else name for name in schemes]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is damaged or no config of lungsev ({error!r}); download it again") from None
    if stated != [HUB_FORMAT, PREPROCESSING_VERSION]:
        raise ConfigError(
            f"{path} has format version {stated[0]} and preprocessing version {stated[1]}, this lungsev reads "
            f"{HUB_FORMAT} and {PREPROCESSING_VERSION}; use the lungsev release it was made with "
            f"({document.get('lungsev_version', 'not stated')})"
        )
    weights = folder / WEIGHTS_FILE
    try:
        return settings, load_file(weights)
    except (OSError, SafetensorError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        pointer = weights.stat().st_size < 1024 and weights.read_bytes().startswith(b"version https://git-lfs")
        advice = "it is a pointer of Git LFS: run `git lfs pull`" if pointer else "download it again"
        raise ConfigError(f"{weights} is no readable file of weights ({first}); {advice}") from None
