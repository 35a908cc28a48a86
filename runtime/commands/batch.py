"""Score a batch of files: every input gets one report, and no image stops another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.model import Model
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.cluster.threads import completed
from lungsev.runtime.commands.inputs import ResultNames
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.outputs.contract import Output


@dataclass(frozen=True)
class ImageResult:
    """One input's report and the files written for it. `reused`: an earlier run left them."""

    path: Path
    report: SeverityReport
    files: tuple[Path, ...] = ()
    reused: bool = False


def score_images(
    images: Sequence[Path],
    out: Path | None,
    open_model: Callable[[], Model],
    jobs: int = 1,
    fresh: bool = False,
) -> Iterator[ImageResult]:
    """Score images, `jobs` at a time, and write their results to `out` as each is done.

    Yields:
        One result per image, in order of completion.

    Raises:
        LungsevError: The model cannot be opened or fails, or the folder of results cannot be written.
    """
    outputs: tuple[Output, ...] = ()
    names = None
    if out is not None:
        _make_folder(out)
        outputs, names = open_outputs(), ResultNames(out)

    def run(image: Path, target: Path | None, earlier: SeverityReport | None, model: Model) -> ImageResult:
        if target is not None and earlier is not None and not fresh and model.is_current(earlier):
            return ImageResult(image, earlier, _existing(target, outputs), reused=True)
        scored = model.examine(image)
        return ImageResult(image, scored.report, _write(scored, target, outputs))

    def tasks() -> Iterator[Callable[[Model], ImageResult]]:
        for image in images:
            name, earlier = names.assign(image) if names is not None else (None, None)
            yield partial(run, image, out / name if out is not None and name is not None else None, earlier)

    yield from completed(tasks(), open_model, min(jobs, len(images)))


def _write(scored: ScoredRadiograph, target: Path | None, outputs: Sequence[Output]) -> tuple[Path, ...]:
    if target is None:
        return ()
    try:
        written = [output.write(scored, with_suffix(target, output)) for output in outputs]
    except OSError as error:
        raise LungsevError(
            f"cannot write results to {target.parent}: {error.strerror or error}; what was finished is kept: "
            "make room or choose another --out, then run the same command again"
        ) from None
    return tuple(path for path in written if path is not None)


def with_suffix(target: Path, output: Output) -> Path:
    """Return the file of one output; the image's own suffix stays in the name, for example `image.dcm.json`."""
    return target.with_name(target.name + output.suffix)


def _existing(target: Path, outputs: Sequence[Output]) -> tuple[Path, ...]:
    files = (with_suffix(target, output) for output in outputs)
    return tuple(path for path in files if path.exists())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LungsevError(f"cannot make folder {folder}: {error.strerror or error}; choose another --out") from None
