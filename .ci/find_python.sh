#!/bin/sh
# Print a Python that lungsev runs on, or say in one line what is missing.
# An explicit PYTHON is taken or refused, never replaced by another.
set -u

fail() {
    echo "lungsev: $1" >&2
    exit 1
}

version_of() {
    "$1" -c 'import platform; print("Python " + platform.python_version())' 2>/dev/null || echo "does not run"
}

is_supported() {
    "$1" -c 'import sys; sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.12 python3.11 python3.13 python3.10 python
fi

seen=''
for candidate in "$@"; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    seen="$seen${seen:+, }$candidate ($(version_of "$candidate"))"
    is_supported "$candidate" || continue
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
    seen="$seen without venv: sudo apt install python3-venv"
done
fail "found ${seen:-no Python}${PYTHON:+ for PYTHON=$PYTHON}, expected Python 3.10 to 3.13 with venv; install one or name it: make PYTHON=/path/to/python3.12"
