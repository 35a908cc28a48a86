"""Score images with a Triton server that serves a lungsev model: the file goes there, the report comes back.

    python client.py image.dcm ward-7/*.png --url localhost:8000 --out results
    python client.py image.dcm --url localhost:8001 --grpc

Needs `pip install tritonclient[http]`, or `[grpc]`, and no lungsev. Research use only. Not for clinical use.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


class TritonScorer:
    """A connection to a server; use it from one thread.

    Args:
        url: Host and port, without a scheme: of HTTP (8000) or gRPC (8001).
        grpc: Speak gRPC rather than HTTP.
        model: Name of the ensemble.
    """

    def __init__(self, url: str, grpc: bool = False, model: str = "lungsev") -> None:
        if grpc:
            from tritonclient import grpc as protocol
        else:
            from tritonclient import http as protocol
        self._protocol = protocol
        self._client = protocol.InferenceServerClient(url)
        self._model = model
        self._options: dict[str, Any] = {"as_json": True} if grpc else {}
        config = self._client.get_model_config(model, **self._options)
        self._config: dict[str, Any] = config["config"] if grpc else config

    @property
    def parameters(self) -> dict[str, str]:
        """What the server says of its model: `bundle_sha256`, `model`, `model_version`, `network`, `precision`, ..."""
        return {name: value["string_value"] for name, value in self._config["parameters"].items()}

    def score(self, data: bytes) -> dict[str, Any]:
        """Return the report of one image as JSON types, `scored`, `skipped` or `failed`.

        Args:
            data: The bytes of its file: DICOM, PNG, JPEG or TIFF.

        Raises:
            tritonclient.utils.InferenceServerException: The server cannot be reached, or its network failed.
        """
        shape = [1, 1] if int(self._config.get("max_batch_size", 0)) > 0 else [1]
        file = self._protocol.InferInput("file", shape, "BYTES")
        file.set_data_from_numpy(np.array([data], dtype=object).reshape(shape))
        answer = self._client.infer(self._model, [file])
        report: dict[str, Any] = json.loads(answer.as_numpy("report").reshape(-1)[0])
        return report

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def main() -> None:
    """Score the images named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--url", default="localhost:8000", help="host and port")
    parser.add_argument("--grpc", action="store_true", help="speak gRPC, whose port is 8001")
    parser.add_argument("--model", default="lungsev", help="name of the ensemble")
    parser.add_argument("--out", type=Path, help="folder for <file name>.json of every image")
    parser.add_argument("--bundle-sha256", help="refuse a server with another model than this")
    options = parser.parse_args()
    from tritonclient.utils import InferenceServerException

    try:
        scorer = TritonScorer(options.url, options.grpc, options.model)
        served = scorer.parameters["bundle_sha256"]
        if options.bundle_sha256 and served != options.bundle_sha256:
            sys.exit(f"{options.url} serves bundle {served}, expected {options.bundle_sha256}")
        for path in options.images:
            print(f"{path.name}: {in_words(score_file(scorer, path, options.out))}")
        scorer.close()
    except (InferenceServerException, ConnectionError) as error:
        sys.exit(f"{options.url}: {error}; check that the server runs and serves {options.model}")
    except OSError as error:
        sys.exit(f"{error.filename or options.url}: {error.strerror or error}")


def score_file(scorer: TritonScorer, path: Path, out: Path | None) -> dict[str, Any]:
    """Score a file, and keep its report in a folder where one is given."""
    report = scorer.score(path.read_bytes())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{path.name}.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    return report


def in_words(report: dict[str, Any]) -> str:
    """Return a report in one line: totals and grades, or why there are none."""
    if report["status"] != "scored":
        return f"{report['status']}: {report['message']}"
    return "; ".join(_score_in_words(name, score) for name, score in report["scores"].items())


def _score_in_words(scheme: str, score: dict[str, Any]) -> str:
    grades = " ".join(
        f"{region['code']}{'-' if region['grade'] is None else region['grade']}" for region in score["regions"]
    )
    partial = score.get("partial")
    points = partial["points"] if partial else score["total"]
    points_max = partial["points_max"] if partial else score["total_max"]
    return f"{scheme} {points}/{points_max} ({grades})"


if __name__ == "__main__":
    main()
