"""Write SR, presentation state and secondary capture of phantom images in several encodings.

Usage: write_dicom_results.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import lungsev
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.phantom.dicom_writer import draw_style
from lungsev.runtime.outputs.catalog import open_outputs

RADIOGRAPHS = 8  # draw_style gives them the habits of four makers


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    outputs = open_outputs(["dicom_sr", "dicom_pr", "dicom_sc"])
    with lungsev.load() as model:
        for number in range(RADIOGRAPHS):
            style = draw_style(number)
            radiograph = write_phantom_dicom(make_phantom(number), folder / f"image{number}.dcm", style)
            scored = model.examine(radiograph)
            print(f"image{number}: {style.manufacturer}, {style.photometric}, {scored.report.status}")
            for output in outputs:
                output.write(scored, folder / f"image{number}{output.suffix}")


if __name__ == "__main__":
    main()
