#!/bin/sh
# Fetch NVIDIA's Python bindings of TensorRT, 1 MB each and without its libraries, for the tests that check our calls
# against them; with `lean` the lean runtime too (46 MB), for one of the slow tests. What is there already is kept;
# without a network nothing is fetched, and those tests are skipped.
# Usage: tensorrt_bindings.sh PYTHON [lean]
set -eu
python=$1
folder=.venv/tensorrt-bindings
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')

# NAME PACKAGE==VERSION...
fetch() {
    target=$folder/$1-$tag
    shift
    [ -d "$target" ] && return 0
    part=$target.part
    rm -rf "$part"
    for pinned; do
        "$python" -m pip download --quiet --no-deps --only-binary :all: --retries 1 --dest "$part/wheels" "$pinned"
    done
    for wheel in "$part"/wheels/*.whl; do
        "$python" -m zipfile -e "$wheel" "$part/unpacked"
    done
    mv "$part/unpacked" "$target"
    rm -rf "$part"
}

for version in 10.3.0 10.7.0 10.13.3.9 10.16.1.11; do
    fetch $version tensorrt-cu12-bindings==$version
done
for version in 11.0.0.114 11.4.0.106; do
    fetch $version tensorrt-cu13-bindings==$version
done
if [ "${2:-}" = lean ]; then
    fetch lean-10.16.1.11 tensorrt-lean-cu12-libs==10.16.1.11 tensorrt-lean-cu12-bindings==10.16.1.11
fi
