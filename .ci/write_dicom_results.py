"""Write the DICOM results of phantom images in several encodings, and of each in every state that a result can be in.

Usage: write_dicom_results.py FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import lungsev
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.phantom.dicom_writer import draw_style
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.standing import Change, Standing

RADIOGRAPHS = 8  # draw_style gives them the habits of four makers


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    outputs = open_outputs(["dicom_sr", "dicom_pr", "dicom_sc", "dicom_ko"])
    with lungsev.load() as model:
        for number in range(RADIOGRAPHS):
            style = draw_style(number)
            radiograph = write_phantom_dicom(make_phantom(number), folder / f"image{number}.dcm", style)
            scored = model.examine(radiograph)
            print(f"image{number}: {style.manufacturer}, {style.photometric}, {scored.report.status}")
            for state, report in _states(scored.report).items():
                for output in outputs:
                    output.write(replace(scored, report=report), folder / f"image{number}-{state}{output.suffix}")


def _states(report: SeverityReport) -> dict[str, SeverityReport]:
    """Return a report as the model's, and as a reader and a second sending would amend it."""
    if report.status != "scored":
        return {"unscored": report}
    at = "2026-11-22T09:30:00Z"
    zeros = {name: {region.code: 0 for region in score.regions} for name, score in report.scores.items()}
    corrected = Standing("corrected", 2, zeros, "Łukasz A. Reader", at)
    superseded = Standing("superseded", 3, {}, None, at, "The image was sent again for another patient.")
    change = Change("worse", "probably worse, 92 %", 0.92, 6, "earlier", 11.8)
    stop = "The images of this patient id name different people: name differs."
    return {
        "model": replace(report, change=change, stop=stop),
        "agreed": replace(report, standing=Standing("agreed", 2, {}, "A. Reader", at)),
        "corrected": replace(report, standing=corrected, change=change),
        "superseded": replace(report, standing=superseded),
    }


if __name__ == "__main__":
    main()
