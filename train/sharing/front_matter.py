"""Front matter of a model card: the YAML that the Hugging Face hub reads, results in its `model-index`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from lungsev.schemes import Scheme
from lungsev.train.evaluation.measurement import Measurement

TAGS = ("medical-imaging", "chest-x-ray", "pneumonia", "covid-19", "severity", "research-only")
# Our measure -> the hub's name of it, where it has one.
HUB_MEASURES = {"total_r": "pearsonr"}
_KNOWN_LICENCES = re.compile(r"(cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[34]\.0|apache-2\.0|mit|bsd-[23]-clause)\b")


def front_matter(
    name: str,
    licence: str,
    schemes: Sequence[Scheme],
    datasets: Sequence[str],
    measured: Sequence[Measurement],
    source: str = "",
) -> str:
    """Return the block between two lines of `---`.

    Args:
        name: Of the model.
        licence: Of the weights, in words.
        schemes: That it grades by.
        datasets: Names of what it was trained and measured on.
        measured: Of one or more parts; empty leaves `model-index` out, since there is nothing to state.
        source: Of the images, in words, where no dataset has a name.
    """
    document: dict[str, Any] = {
        "language": ["en"],
        **hub_licence(licence),
        "library_name": "lungsev",
        "pipeline_tag": "image-classification",
        "tags": [*TAGS, *(scheme.name for scheme in schemes)],
    }
    if datasets:
        document["datasets"] = list(datasets)
    stated = [one for one in measured if one.value == one.value]  # NaN: nothing counts
    if stated:
        document["metrics"] = sorted({_hub_measure(one) for one in stated})
        document["model-index"] = [{"name": name, "results": _results(schemes[0], datasets, stated, source)}]
    return f"---\n{yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)}---\n"


def hub_licence(licence: str) -> dict[str, str]:
    """Return the hub's fields of a licence: its identifier, or `other` with the words in the file LICENSE."""
    known = _KNOWN_LICENCES.match(licence.strip().lower().replace(" ", "-"))
    if known:
        return {"license": known.group()}
    return {"license": "other", "license_name": licence, "license_link": "LICENSE"}


def _results(
    scheme: Scheme, datasets: Sequence[str], measured: Sequence[Measurement], source: str
) -> list[dict[str, Any]]:
    parts = dict.fromkeys(one.part for one in measured)
    name = ", ".join(datasets) or source or "not stated by the run"
    return [
        {
            "task": {"type": "image-classification", "name": f"Grades of lung regions ({scheme.title})"},
            "dataset": {"type": datasets[0] if datasets else "unknown", "name": name, "split": part},
            "metrics": [_metric(one) for one in measured if one.part == part],
        }
        for part in parts
    ]


def _metric(one: Measurement) -> dict[str, Any]:
    facts = one.to_dict()
    kept = ("unit", "decision", "images", "patients", "interval", "coverage", "resampled", "bins", "seeds", "sd")
    args = {key: facts[key] for key in (*kept, "caution") if facts[key] not in (None, "")}
    scale = 100 if one.unit == "%" else 1  # the value in its unit, as the name states it
    if one.interval is not None:
        args["interval"] = [scale * end for end in one.interval]
    if one.sd is not None:
        args["sd"] = scale * one.sd
    return {"type": _hub_measure(one), "value": scale * one.value, "name": one.label(), "args": args}


def _hub_measure(one: Measurement) -> str:
    return HUB_MEASURES.get(one.measure, one.measure)
