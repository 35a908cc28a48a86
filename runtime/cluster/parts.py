"""Folder of results: Parquet files `part-000001.parquet`, each written whole; one row per image in all of them.

One process writes, which a lock on the folder ensures. A row that replaces another is written after the part with the
old row has been written without it: a crash between the two leaves an image to be scored again, never two rows.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungsev import __version__
from lungsev.errors import FolderLockedError, LungsevError, MissingExtraError
from lungsev.runtime.cluster.index import Index, Known
from lungsev.runtime.cluster.rows import INTEGERS, NUMBERS, Row
from lungsev.runtime.outputs.csv_file import COLUMNS
from lungsev.system import UNFINISHED_SUFFIX, atomic_file, lock_file

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
PART_SUFFIX = ".parquet"

_PART = re.compile(r"part-(\d{6,})\.parquet")
_KNOWN = ["source", "source_version", "status", "bundle_sha256"]
_BATCH_ROWS = 20_000


def schema() -> pa.Schema:
    """Return the schema of every part; docs/cluster.md explains its columns."""
    import pyarrow as pa

    def of(kind: pa.DataType) -> pa.DataType:
        return pa.list_(pa.field("element", kind))  # as Parquet names it

    kinds = dict.fromkeys(INTEGERS, pa.int32()) | dict.fromkeys(NUMBERS, pa.float64())
    region = pa.struct(
        [
            ("code", pa.string()),
            ("grade", pa.int32()),
            ("expected", pa.float64()),
            ("probabilities", of(pa.float64())),
            ("not_assessable", pa.string()),
        ]
    )
    totals = [(name, pa.int32()) for name in ("total", "total_low", "total_high", "total_max")]
    score = pa.struct([("scheme", pa.string()), *totals, ("expected", pa.float64()), ("regions", of(region))])
    fields = [
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_version", pa.string(), nullable=False),
        *(pa.field(name, kinds.get(name, pa.string())) for name in COLUMNS),
        pa.field("message", pa.string()),
        pa.field("scores", of(score)),
        pa.field("report", pa.string()),
    ]
    return pa.schema(fields, {"lungsev.schema_version": str(SCHEMA_VERSION), "lungsev.version": __version__})


class ResultFolder:
    """The open folder of results of one run: `with ResultFolder(path) as folder`.

    Args:
        folder: Made where it does not exist.

    Raises:
        MissingExtraError: pyarrow is not installed.
        FolderLockedError: Another run writes there.
        LungsevError: The folder cannot be made, or a part of an earlier run cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("a table of results in Parquet", "cluster") from None
        self._folder = folder
        self._lock = _lock(folder)
        for leftover in folder.glob(f".*{UNFINISHED_SUFFIX}"):  # of a run that was killed while it wrote
            leftover.unlink(missing_ok=True)
        self._next = max((number for number, _ in self._parts()), default=0) + 1

    def index(self, bundle_sha256: str) -> Index:
        """Return the images that the parts hold.

        Args:
            bundle_sha256: Of the model that scores now. Rows of another, and of images that failed, are not current.

        Raises:
            LungsevError: A part cannot be read.
        """
        index = Index()
        for number, path in self._parts():
            index.add(self._known(number, path, bundle_sha256))
        return index

    def write(self, rows: Sequence[Row], index: Index) -> None:
        """Write rows as a new part, in place of the rows that other parts have of the same sources.

        Raises:
            LungsevError: The disk refused; what was written before is kept.
        """
        import pyarrow as pa

        replaced: dict[int, set[str]] = defaultdict(set)
        for row in rows:
            if (part := index.part_of(row["source"])) is not None:
                replaced[part].add(row["source"])
        try:
            for part, sources in replaced.items():
                self._remove(part, sources)
            number, self._next = self._next, self._next + 1
            self._save(self._path(number), pa.Table.from_pylist(list(rows), schema()))
        except OSError as error:
            raise LungsevError(
                f"cannot write results to {self._folder}: {error.strerror or error}; what was finished is kept: "
                "make room or choose another --out, then run the same command again"
            ) from None
        index.add(Known(row["source"], row["source_version"], row["status"] != "failed", number) for row in rows)

    def close(self) -> None:
        """Let other runs use the folder."""
        os.close(self._lock)

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known(self, number: int, path: Path, bundle_sha256: str) -> Iterator[Known]:
        import pyarrow.parquet as pq

        with _readable(path), pq.ParquetFile(path) as part:
            for batch in part.iter_batches(_BATCH_ROWS, columns=_KNOWN):
                columns = [batch.column(name).to_pylist() for name in _KNOWN]
                for source, version, status, bundle in zip(*columns, strict=True):
                    yield Known(source, version, status != "failed" and bundle == bundle_sha256, number)

    def _remove(self, number: int, sources: set[str]) -> None:
        """Write a part without some rows; remove one that is then empty."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._path(number)
        with _readable(path):
            table = pq.read_table(path)
        kept = table.filter(pa.array([source not in sources for source in table["source"].to_pylist()]))
        if kept.num_rows:
            self._save(path, kept)
        else:
            path.unlink()

    def _save(self, path: Path, table: Any) -> None:
        import pyarrow.parquet as pq

        with atomic_file(path) as stream:
            pq.write_table(table, stream, compression="zstd")

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}{PART_SUFFIX}"

    def _parts(self) -> list[tuple[int, Path]]:
        found = ((_PART.fullmatch(path.name), path) for path in self._folder.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, KeyError) as error:
        raise LungsevError(
            f"cannot read {path} ({type(error).__name__}), expected a part of an earlier run: move it away, and its "
            "images are scored again"
        ) from None


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise LungsevError(f"cannot use folder {folder}: {error.strerror or error}; choose another --out") from None
    with contextlib.suppress(OSError):  # a share without locks
        if not lock_file(descriptor):
            os.close(descriptor)
            raise FolderLockedError(f"another run writes to {folder}: wait for it, or choose another --out")
    return descriptor
