#!/bin/sh
# The full protocol of the tables on public images, for one GPU such as an H100: crops of 256 px, 40 epochs, three seeds.
#   sh benchmarks/tables_on_gpu.sh FOLDER [OUT]
# FOLDER holds the Cohen-Brixia images, RALO, the lung masks and the images with one label each, side by side. A run that
# was stopped continues: start it again. BRIXIA=DIR and INHA=DIR add the paper's own tables where these images are there.
set -eu
data=${1:?give the folder of the datasets}
out=${2:-runs/public}
train="python -m lungsev.train table"
fast="--set loop.precision=bf16 --set data.workers=${WORKERS:-8}"
# shellcheck disable=SC2086  # options are words
$train public_1 --data "$data" --out "$out" $fast
# shellcheck disable=SC2086
$train public_2 --data "$data" --out "$out" $fast
if [ -n "${BRIXIA:-}" ]; then
  # shellcheck disable=SC2086
  $train 1 --data "$BRIXIA" --lungs "$data/lung-masks" --out runs/table-1 $fast
fi
if [ -n "${INHA:-}" ]; then
  # shellcheck disable=SC2086
  $train 2 --data "$INHA" --out runs/table-2 $fast
fi
