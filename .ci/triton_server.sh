#!/bin/sh
# Fetch a real Triton server for one of the slow tests: nvidia-pytriton's wheel holds the server with its Python backend
# (x86-64, Apache-2.0), built before NumPy 2, so a NumPy 1 comes along, and Triton's client. About 100 MB; nothing is
# installed into the environment. What is there already is kept; without a network that test is skipped.
# Usage: triton_server.sh PYTHON
set -eu
python=$1
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
target=.venv/triton-server-$tag
[ -d "$target" ] && exit 0
part=$target.part
rm -rf "$part"
"$python" -m pip download --quiet --no-deps --only-binary :all: --retries 1 --dest "$part/wheels" nvidia-pytriton==0.7.0
"$python" -m zipfile -e "$part"/wheels/nvidia_pytriton-*.whl "$part/unpacked/server"
"$python" -m pip install --quiet --no-deps --only-binary :all: --retries 1 --target "$part/unpacked/numpy" numpy==1.26.4
# Without its NumPy and gRPC, which the tests' environment has in other versions.
"$python" -m pip install --quiet --no-deps --only-binary :all: --retries 1 --target "$part/unpacked/client" tritonclient==2.73.0 \
    python-rapidjson gevent geventhttpclient greenlet zope.event zope.interface brotli certifi urllib3
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
server=$part/unpacked/server/pytriton/tritonserver
cp "$server/python_backend_stubs/$version/triton_python_backend_stub" "$server/backends/python/"
chmod +x "$server/bin/tritonserver" "$server/backends/python/triton_python_backend_stub"
mv "$part/unpacked" "$target"
rm -rf "$part"
