"""The rows of a dataset of findings: which are images, and which are left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import ABSENT, PRESENT, UNCERTAIN, FindingsDataset, FindingsImage
from lungsev.train.data.tables import (
    GZIP_MAGIC,
    delimiter_of,
    encoding_of,
    number,
    read_cells,
    read_text,
    summarise,
    without_separator_line,
)

NO_FINDING = ("no finding", "no_finding", "normal", "none")
FRONTAL = ("ap", "pa", "frontal")
_HEADER_BYTES = 100_000


class FindingsRows:
    """Collects the images of a dataset; every row that is none is counted with its reason."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root
        self._images: list[FindingsImage] = []
        self._left_out: dict[str, list[str]] = {}
        self._strangers: list[str] = []

    def add(
        self,
        name: str,
        path: Path | None,
        patient: str,
        findings: Mapping[str, int],
        view: str = "",
        part: str = "",
        day_offset: float | None = None,
    ) -> None:
        """Take a row: an image when it is a frontal one with a file and something is said of its findings.

        Args:
            name: Unique in the dataset.
            path: The file; None where it was not found.
            patient: Empty where it is not known.
            findings: As `FindingsImage.findings`.
            view: As the table says; whatever is neither frontal nor empty is a lateral.
            part: Of the official split.
            day_offset: As `FindingsImage.day_offset`.
        """
        if view and not view.lower().startswith(FRONTAL):
            self.leave_out("images whose view is not said to be frontal, left out", name)
        elif path is None:
            self.leave_out("images without a file, left out", name)
        elif not findings:
            self.leave_out("images of which no finding is said, left out", name)
        else:
            self._strangers += [] if patient else [name]
            self._images.append(FindingsImage(name, path, patient or name, findings, view, part, day_offset))

    def leave_out(self, reason: str, name: str) -> None:
        """Count a row that is no image of this dataset."""
        self._left_out.setdefault(reason, []).append(name)

    def dataset(self, problems: Sequence[str] = ()) -> FindingsDataset:
        """Return the dataset, with what was left out among its problems."""
        left_out = (line for reason, names in self._left_out.items() for line in summarise(names, reason))
        strangers = summarise(self._strangers, "images without a patient, each counted as a patient of its own")
        return FindingsDataset(self.name, self.root, tuple(self._images), (*problems, *left_out, *strangers))


def stated_findings(cells: Mapping[str, str]) -> dict[str, int]:
    """Columns of 1, 0, -1 (uncertain) or nothing, as the CheXpert labeller writes them.

    `No Finding` of 1 says that every other finding that is not mentioned is absent, but for support devices.
    """
    values = {name: number(cell) for name, cell in cells.items()}
    found = {name: int(value) for name, value in values.items() if value in (PRESENT, ABSENT, UNCERTAIN)}
    nothing = any(found.get(name) == PRESENT for name in cells if name.lower() in NO_FINDING)
    clear = [name for name in cells if nothing and name not in found and name.lower() != "support devices"]
    return {**found, **dict.fromkeys(clear, ABSENT)}


def listed_findings(labels: Iterable[str]) -> dict[str, int]:
    """Labels of an image, each a finding that is present; none of it for a label such as `No Finding`."""
    return {label: PRESENT for label in labels if label and label.lower() not in NO_FINDING}


def header_of(path: Path) -> list[str]:
    """Return the columns of a table in lower case, from its first line; none of a file that is no table."""
    try:
        with path.open("rb") as file:
            data = file.read(_HEADER_BYTES)
        packed = data[:2] == GZIP_MAGIC
        text = read_text(path) if packed else data.decode(encoding_of(data), errors="replace")
        stated, lines = without_separator_line(text.splitlines())
        line = next(line for line in lines if line.strip())
        return [cell.lower() for cell in read_cells(path, [line], stated or delimiter_of(line))[0]]
    except (OSError, StopIteration, DatasetError):
        return []
