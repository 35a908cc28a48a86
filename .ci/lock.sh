#!/bin/sh
# Write the lock files of the bedside install for every Python and platform at once. Usage: lock.sh UV
set -eu
uv=$1
lock() {  # FILE FIRST_LINE HOW, then what uv compiles
    file=docs/deploy/$1
    printf '# %s, Python 3.10 to 3.13, x86-64 and aarch64. Written by `make lock`.\n#   %s\n' "$2" "$3" >"$file.part"
    shift 3
    "$uv" pip compile --quiet "$@" --universal --python-version 3.10 --generate-hashes --no-header --no-annotate >>"$file.part"
    mv "$file.part" "$file"
}
lock bedside.lock.txt 'Versions and hashes of a bedside install' \
    'pip install --require-hashes -r bedside.lock.txt && pip install --no-deps lungsev-X.Y.Z-py3-none-any.whl' \
    pyproject.toml --extra bedside
# CUDA 12, as JetPack 6 has it; newer drivers run it too.
echo 'cuda-bindings>=12.6,<13' | lock tensorrt.lock.txt 'For TensorRT, beside bedside.lock.txt: the binding of CUDA' \
    'pip install --require-hashes -r tensorrt.lock.txt' -
