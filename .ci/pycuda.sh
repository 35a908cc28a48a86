#!/bin/sh
# Compile pycuda, which has no wheel, for one of the slow tests: with the headers of CUDA from NVIDIA's wheels (75 MB,
# deleted afterwards), without optimisation, and linked with libraries that have no content. A minute and a half of CPU.
# What is there already is kept; nothing is installed into the environment.
# Usage: pycuda.sh PYTHON
set -eu
python=$1
tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
target=.venv/pycuda-$tag
[ -d "$target" ] && exit 0
command -v g++ > /dev/null || { echo "pycuda needs g++" >&2; exit 1; }
part=$PWD/$target.part
rm -rf "$part"
mkdir -p "$part/cuda/include" "$part/cuda/lib64" "$part/cuda/bin"
get() { "$python" -m pip download --quiet --no-deps --retries 1 --dest "$part/$1" "$2"; }
for package in runtime-cu12==12.9.79 nvcc-cu12==12.9.86 profiler-api-cu12==12.9.79 cccl-cu12==12.9.27; do
    get wheels "nvidia-cuda-$package"
done
get wheels nvidia-curand-cu12==10.3.10.19
for wheel in "$part"/wheels/*.whl; do
    "$python" -m zipfile -e "$wheel" "$part/unpacked"
    rm "$wheel"
done
for folder in "$part"/unpacked/nvidia/*/include; do
    cp -r "$folder/." "$part/cuda/include/"
done
echo 'int nothing;' > "$part/nothing.c"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$part/cuda/lib64/libcuda.so" "$part/nothing.c"
gcc -shared -fPIC -Wl,-soname,libcurand.so -o "$part/cuda/lib64/libcurand.so" "$part/nothing.c"
"$python" -m pip install --quiet --no-deps --retries 1 --target "$part/done" pytools mako siphash24 platformdirs
"$python" -m pip install --quiet --retries 1 --target "$part/tools" setuptools wheel
printf '#!/bin/sh\nexit 1\n' > "$part/cuda/bin/nvcc"  # it finds CUDA by it, and does not run it
chmod +x "$part/cuda/bin/nvcc"
PATH=$part/cuda/bin:$PATH PYTHONPATH=$part/tools CFLAGS="-O0 -w" CXXFLAGS="-O0 -w" \
    "$python" -m pip install --quiet --no-deps --no-build-isolation --no-binary pycuda --retries 1 --target "$part/done" pycuda==2026.1
mv "$part/done" "$target"
rm -rf "$part"
