#!/bin/sh
# Gather a release in one folder: the wheel, the bundle, the lock files, the SBOM and SHA256SUMS of them.
# A key signs the bundle and the sums. Usage: release.sh BIN OUT [KEY]
set -eu
bin=$1 out=$2 key=${3:-}
rm -rf "$out"
mkdir -p "$out"
cp "$(ls -t dist/lungsev-*.whl | head -n 1)" dist/bundle.zip dist/lungsev.cdx.json docs/deploy/*.lock.txt "$out"
if [ -n "$key" ]; then
    "$bin/lungsev-export" sign "$out/bundle.zip" --key "$key"
    openssl pkey -in "$key" -pubout -out "$out/maker.pem"
fi
(cd "$out" && sha256sum ./* >SHA256SUMS.part && mv SHA256SUMS.part SHA256SUMS)
if [ -n "$key" ]; then
    openssl pkeyutl -sign -inkey "$key" -rawin -in "$out/SHA256SUMS" -out "$out/SHA256SUMS.sig"
else
    echo "not signed: make release KEY=key.pem signs the bundle and SHA256SUMS"
fi
(cd "$out" && ls -l)
