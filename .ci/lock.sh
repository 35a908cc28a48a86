#!/bin/sh
# Write the lock file of the bedside install for every Python and platform at once. Usage: lock.sh UV
set -eu
lock=docs/deploy/bedside.lock.txt
{
    echo '# Versions and hashes of a bedside install, Python 3.10 to 3.13, x86-64 and aarch64. Written by `make lock`.'
    echo '#   pip install --require-hashes -r bedside.lock.txt && pip install --no-deps lungsev-X.Y.Z-py3-none-any.whl'
    "$1" pip compile --quiet pyproject.toml --extra bedside --universal --python-version 3.10 \
        --generate-hashes --no-header --no-annotate
} >"$lock.part"
mv "$lock.part" "$lock"
