"""Comparison of a bench with an earlier one: the ratio of every figure, and what makes it no fair one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.runtime.benchmark.result import KIND

_MOST_BYTES = 64_000_000
_EXPECTED = "expected the JSON that lungsev-run bench --out or --json wrote"
_SINGLE = (
    ("cold_start_ms", "fresh process, open", "ms"),
    ("first_score_ms", "fresh process, first score", "ms"),
    ("peak_memory_mb", "memory", "MB"),
    ("images_per_second", "images per second", "1/s"),
)
# What must be the same for a fair comparison: place in the document, and its name.
_CONDITIONS = (
    (("pause_seconds",), "pause between images"),
    (("machine", "processor"), "processor"),
    (("machine", "cores"), "CPUs"),
    (("machine", "system"), "system"),
    (("machine", "power_mode"), "power mode"),
    (("machine", "python"), "Python"),
    (("machine", "onnxruntime"), "ONNX Runtime"),
    (("machine", "threads"), "threads"),
    (("lungsev",), "lungsev"),
    (("model", "name"), "model"),
    (("model", "version"), "version of the model"),
    (("model", "bundle_sha256"), "bundle"),
    (("model", "backend"), "backend"),
    (("model", "precision"), "precision"),
    (("model", "device"), "device"),
    (("radiograph",), "image"),
    (("drop_disk",), "disk of the watched folder"),
)
_DIGEST_LENGTH = 12


@dataclass(frozen=True)
class Ratio:
    """One figure then and now.

    Attributes:
        ratio: Now divided by before; None where there is no earlier figure, or it is 0.
    """

    name: str
    unit: str
    before: float
    now: float
    ratio: float | None


@dataclass(frozen=True)
class Comparison:
    """Now beside an earlier bench.

    Attributes:
        measured_at: Of the earlier one.
        ratios: Of every figure that both have.
        differences: What else differs, a sentence each: machine, model, version, load.
        missing: Figures that only one of the two has.
    """

    measured_at: str
    ratios: tuple[Ratio, ...]
    differences: tuple[str, ...]
    missing: tuple[str, ...]


def read_bench(path: Path) -> dict[str, Any]:
    """Read an earlier result.

    Raises:
        LungsevError: It is not there, not readable, or no result of the bench.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise LungsevError(f"cannot read {path}: {error.strerror}; {_EXPECTED}") from None
    if len(data) > _MOST_BYTES:
        raise LungsevError(f"{path} has more than {_MOST_BYTES // 1_000_000} MB, {_EXPECTED}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise LungsevError(f"{path} is not JSON, {_EXPECTED}") from None
    if not isinstance(document, dict) or not _is_bench(document):
        raise LungsevError(f"{path} is JSON of something else, {_EXPECTED}")
    try:
        list(_figures(document))
    except ValueError as error:
        raise LungsevError(f"{path} is damaged: {error}; {_EXPECTED}") from None
    return document


def compare_benches(now: dict[str, Any], before: dict[str, Any]) -> Comparison:
    """Compare two results of the bench as `to_dict` gives and `read_bench` reads them."""
    new = {name: (value, unit) for name, value, unit in _figures(now)}
    old = {name: (value, unit) for name, value, unit in _figures(before)}
    ratios = tuple(
        Ratio(name, unit, old[name][0], value, round(value / old[name][0], 3) if old[name][0] else None)
        for name, (value, unit) in new.items()
        if name in old
    )
    return Comparison(
        str(before.get("measured_at", "at an unknown time")),
        ratios,
        (*_differences(now, before), *_loads(now, before)),
        tuple(sorted(new.keys() ^ old.keys())),
    )


def _is_bench(document: dict[str, Any]) -> bool:
    kinds = (("stages", dict), ("machine", dict), ("model", dict), ("lungsev", str))
    return document.get("kind", KIND) == KIND and all(isinstance(document.get(key), kind) for key, kind in kinds)


def _figures(document: dict[str, Any]) -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of every figure. Raises ValueError where one is no number."""
    for group, title in (("stages", ""), ("drops", "watched folder, ")):
        stages = document.get(group) or {}
        if not isinstance(stages, dict):
            raise ValueError(f"found {group} {str(stages)[:40]!r}, not an object")
        for stage, times in stages.items():
            if not isinstance(times, dict):
                raise ValueError(f"found {group}.{stage} {str(times)[:40]!r}, not an object")
            for key, word in (("p50", "median"), ("p90", "p90"), ("fastest", "fastest")):
                if times.get(key) is not None:
                    yield (
                        f"{title}{stage.replace('_', ' ')}, {word}",
                        _number(times[key], f"{group}.{stage}.{key}"),
                        "ms",
                    )
    for key, name, unit in _SINGLE:
        if document.get(key) is not None:
            yield name, _number(document[key], key), unit
    for group, key, name, unit in (
        ("floor", "floor_ms", "floor of the network", "ms"),
        ("floor", "ratio", "times the floor", ""),
        ("sensors", "energy_j_per_image", "energy per image", "J"),
    ):
        section = document.get(group)
        if isinstance(section, dict) and section.get(key) is not None:
            yield name, _number(section[key], f"{group}.{key}"), unit


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {place} {str(value)[:40]!r}, not a number")
    return float(value)


def _differences(now: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
    for place, name in _CONDITIONS:
        new, old = _at(now, place), _at(before, place)
        if new != old:
            yield f"{name} differs: {_text(old)} before, {_text(new)} now"


def _loads(now: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
    for document, when in ((before, "before"), (now, "now")):
        warnings = _at(document, ("load", "warnings"))
        if isinstance(warnings, list | tuple) and warnings:
            yield f"the machine was loaded {when}: {'; '.join(map(str, warnings))}"


def _at(document: Any, place: tuple[str, ...]) -> Any:
    for key in place:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _text(value: Any) -> str:
    if value is None or value == "":
        return "not stated"
    text = str(value)
    is_digest = len(text) == 64 and all(character in "0123456789abcdef" for character in text)
    return text[:_DIGEST_LENGTH] if is_digest else text[:200]
