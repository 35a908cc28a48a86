#!/bin/sh
# Fetch NVIDIA's Python bindings of TensorRT, 1 MB each and without its libraries, for the tests that check our calls
# against them. What is there already is kept; without a network nothing is fetched and those tests are skipped.
# Usage: tensorrt_bindings.sh PYTHON [FOLDER]
set -u
python=$1
folder=${2:-.venv/tensorrt-bindings}
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])') || exit 1
failed=0
for pinned in tensorrt-cu12-bindings==10.3.0 tensorrt-cu12-bindings==10.7.0 tensorrt-cu12-bindings==10.13.3.9 \
    tensorrt-cu12-bindings==10.16.1.11 tensorrt-cu13-bindings==11.0.0.114 tensorrt-cu13-bindings==11.4.0.106; do
    target=$folder/${pinned#*==}-$tag
    [ -d "$target/tensorrt_bindings" ] && continue
    part=$target.part
    rm -rf "$part"
    if "$python" -m pip download --quiet --no-deps --only-binary :all: --retries 1 --dest "$part/wheel" "$pinned" \
        && "$python" -m zipfile -e "$part"/wheel/*.whl "$part/unpacked"; then
        mv "$part/unpacked" "$target"
    else
        failed=1
    fi
    rm -rf "$part"
    [ $failed = 0 ] || break
done
exit $failed
