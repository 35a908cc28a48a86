"""Runs over archives with a quick model, and the table that they leave."""

from __future__ import annotations

from pathlib import Path

from bedside_images import MODEL, QuickModel

from lungsev.runtime.cluster.run import Summary, ThreadPool, run_archive
from lungsev.runtime.cluster.sources import Source

BUNDLE = MODEL.bundle_sha256


def score(sources: list[Source], out: Path, model: QuickModel | None = None, fresh: bool = False) -> Summary:
    pool = ThreadPool(sources, lambda: model or QuickModel(), 1)
    return run_archive(sources, pool, out, BUNDLE, fresh)


def table(out: Path) -> list[dict]:
    import pyarrow.parquet as pq

    return [row for path in sorted(out.glob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]
