#!/bin/sh
# Link the rooms beside each other under one package, as they are installed: FOLDER/lungsev/{core..., runtime, train, ...}.
# Usage: linked_tree.sh FOLDER
set -eu
tree=$1/lungsev
rm -rf "$tree"
mkdir -p "$tree"
for entry in lungsev/* configs export runtime train; do
    [ "$entry" = lungsev/__pycache__ ] || ln -s "$PWD/$entry" "$tree/$(basename "$entry")"
done
