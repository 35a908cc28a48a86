"""A folder ready for the Hugging Face hub: card, weights, bundle, terms and an example. Nothing is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.bundle.card_text import CITATION, LICENCE
from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import read_network
from lungsev.networks.hub import write_hub_network
from lungsev.networks.settings import FusedSettings
from lungsev.report import DISCLAIMER
from lungsev.schemes import load_scheme
from lungsev.system import atomic_folder
from lungsev.train.evaluation.evaluate import is_bundle
from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.runs import Run, finished_run
from lungsev.train.sharing.card import how_to_use, licence_text, run_card
from lungsev.train.sharing.examples import script
from lungsev.train.sharing.front_matter import front_matter

CARD_FILE = "README.md"
EXAMPLE_FILE = "example.py"
BUNDLE_FOLDER = "bundle"
LARGE_FILES = ("*.safetensors", "*.onnx")  # Git LFS holds them


def export_hub(source: Path, out: Path, bundle: Path | None = None, licence: str | None = None) -> Path:
    """Write the folder whole or not at all, and return it.

    Args:
        source: Run folder, or a bundle where there is no run.
        out: New or empty folder.
        bundle: Of the same run, copied beside the network.
        licence: Of the weights, in words; None is that of the bundle, or lungsev's default.

    Raises:
        ConfigError: The source is no finished run, the bundle is of another run, or the folder holds something.
        BundleError: The bundle is damaged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty; give another --out, or remove it")
    if is_bundle(source):
        if bundle is not None:
            raise ConfigError(f"{source} is a bundle already; give a run beside --bundle, or leave --bundle out")
        opened = read_bundle(source)
        files = {CARD_FILE: bundle_card(opened, licence), EXAMPLE_FILE: script(None)}
        return _write(out, files, opened, None, licence or opened.manifest.licence)
    _require_network(source)
    held = read_bundle(bundle) if bundle is not None else None
    if held is not None:
        _require_same_run(held, source)
    licence = licence or (held.manifest.licence if held is not None else None)
    scheme = load_scheme(read_network(source, FusedSettings)[0].severity.schemes[0])
    files = {CARD_FILE: run_card(source, licence, bundle=held is not None), EXAMPLE_FILE: script(scheme)}
    return _write(out, files, held, source, licence_text(licence))


def bundle_card(bundle: Bundle, licence: str | None = None) -> str:
    """Return the card of a bundle with the hub's front matter before it, and how to use it behind it.

    The results of the front matter are the measurements that the manifest holds.
    """
    manifest = bundle.manifest
    results = manifest.metrics.get("results", {})
    measured = [
        Measurement.from_dict(each) for part in ("test", "consensus") for each in _measurements(results.get(part))
    ]
    name, source = f"{manifest.name} {manifest.version}", "; ".join(manifest.provenance.data)
    head = front_matter(name, licence or manifest.licence, manifest.schemes, (), measured, source)
    usage = "\n\n".join(("## How to use", *how_to_use(manifest.schemes[0], network=False, bundle=True)))
    card = bundle.file_bytes("card.md").decode("utf-8").strip()
    return f"{head}\n{card}\n\n{usage}\n\n## Citation\n\n{CITATION}\n"


def _measurements(part: Any) -> list[dict[str, Any]]:
    return list(part.get("measurements", ())) if isinstance(part, dict) else []


def upload_command(folder: Path) -> str:
    """Return the command with which a user uploads the folder."""
    return f"hf upload USER/NAME {folder} ."


def _require_network(source: Path) -> None:
    """Raise ConfigError where a run has no network of its own."""
    run = Run(source)
    if not run.network.is_file() and (source / "metrics.json").is_file():
        metrics = run.metrics()
        below = [name for key in ("folds", "networks", "seeds") for name in metrics.get(key) or []]
        if below:
            example = source / str(below[0])
            raise ConfigError(f"{source} holds {len(below)} trainings and no network of its own; give one: {example}")
    finished_run(source)


def _require_same_run(bundle: Bundle, source: Path) -> None:
    path = source.resolve()
    stated, name = bundle.manifest.provenance.run, f"{path.parent.name}/{path.name}"
    if stated != name:
        raise ConfigError(
            f"{bundle.path} was exported from the run {stated or 'unknown'}, expected {name}; export this run, or give "
            "the bundle alone"
        )


def _write(out: Path, texts: dict[str, str], bundle: Bundle | None, run: Path | None, licence: str) -> Path:
    texts = {
        **texts,
        "LICENSE": f"{DISCLAIMER}\n\nWeights: {licence or LICENCE}\nCode of lungsev: Apache-2.0\n",
        ".gitattributes": "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LARGE_FILES),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        if run is not None:
            write_hub_network(folder, *read_network(run, FusedSettings))
        if bundle is not None:
            (folder / BUNDLE_FOLDER).mkdir()
            for name in bundle.file_names:
                (folder / BUNDLE_FOLDER / name).write_bytes(bundle.file_bytes(name))
    return out
