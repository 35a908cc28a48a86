#!/bin/sh
# Build the wheel, and the packaged bundle as a .zip, twice in different folders, time zones and locales; both must be
# the same to the byte, whatever the umask of the caller.
# The first wheel is left in dist/. Usage: reproducible.sh PYTHON
set -eu
python=$1
umask 022
commit=$(git rev-parse HEAD)  # once: a commit made meanwhile would be a difference
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit" 2>/dev/null || echo 315532800)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for copy in one two; do
    [ $copy = one ] && TZ=UTC0 LC_ALL=C || TZ=XYZ-13:45 LC_ALL=C.UTF-8
    export TZ LC_ALL
    mkdir "$work/$copy"
    git archive "$commit" | tar -x -C "$work/$copy"
    (cd "$work/$copy" && "$python" -m build --wheel --quiet --outdir "$work/$copy-out" .)
    "$python" -c 'import sys; from pathlib import Path; from lungsev.bundle.archive import pack_bundle, read_bundle; pack_bundle(read_bundle(sys.argv[1]), Path(sys.argv[2]))' \
        "$work/$copy/lungsev/bundle/default" "$work/$copy-out/bundle.zip"
done
(cd "$work/one-out" && sha256sum ./*) >"$work/one.sums"
(cd "$work/two-out" && sha256sum ./*) >"$work/two.sums"
cat "$work/one.sums"
cmp "$work/one.sums" "$work/two.sums" || { echo "reproducible.sh: two builds of one commit differ" >&2; exit 1; }
mkdir -p dist
cp "$work/one-out"/* dist/
