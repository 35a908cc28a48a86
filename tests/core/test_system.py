from __future__ import annotations

import subprocess
from pathlib import Path

from lungsev.system import python_command


def test_nothing_of_the_working_directory_is_imported(tmp_path: Path) -> None:
    (tmp_path / "lungsev").mkdir()
    for name in ("json.py", "numpy.py", "lungsev/report.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the working directory')")
    command = python_command("import numpy, lungsev.report; print(sys.argv[1:])", "two words", "")
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "['two words', '']\n", "")
