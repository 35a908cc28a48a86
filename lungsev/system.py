"""A fresh Python beside this one: it finds the modules that this process finds, and none of the working directory."""

from __future__ import annotations

import json
import sys

_START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "


def python_command(code: str, *words: str) -> list[str]:
    """Command line that runs `code` with `words` as `sys.argv[1:]`.

    `python -m` and `python -c` look into the working directory first: a checkout named `lungsev` that lies there hides
    the installed package, and a stranger's numpy.py would be run.
    """
    return [sys.executable, "-I", "-c", _START + code, json.dumps([entry for entry in sys.path if entry]), *words]
