#!/bin/sh
# Install core and runtime with one Python in an environment of its own, without torch, and run their tests.
# Usage: test_versions.sh UV (lowest|newest) 3.10 [pytest's arguments]
# `lowest` takes the smallest version that pyproject.toml allows of everything it names.
set -eu
uv=$1
which=$2
version=$3
shift 3
folder=.venv-$which-$version

interpreter() {  # of this machine, else uv downloads one
    for candidate in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "$1"
}

case $which in
    lowest) resolution=lowest-direct ;;
    newest) resolution=highest ;;
    *) echo "test_versions.sh: found $which, expected lowest or newest" >&2; exit 2 ;;
esac
python=$(interpreter "$version")
"$uv" venv --quiet --clear --python "$python" "$folder" || {
    echo "test_versions.sh: Python $version is not on this machine and cannot be downloaded; install it (pyenv install $version)" >&2
    exit 1
}
echo "Python $version, $which versions"
"$uv" pip install --quiet --python "$folder/bin/python" --resolution "$resolution" -e ".[bedside,test]"
OMP_NUM_THREADS=1 "$folder/bin/python" -m pytest -n 2 --dist loadfile -p no:cacheprovider tests/core tests/runtime "$@"
"$folder/bin/lungsev-run" demo --out "$folder/demo" --count 1 >/dev/null
"$folder/bin/lungsev-run" phantoms "$folder/incoming" --patients 1 >/dev/null
"$folder/bin/lungsev-run" score "$folder/incoming" --out "$folder/scored" >/dev/null
"$folder/bin/lungsev-run" watch "$folder/incoming" --out "$folder/watched" --once >/dev/null 2>&1
echo "Python $version, $which versions: tests, demo, score and watch passed"
rm -rf "$folder"
