#!/bin/sh
# Write every DICOM result for phantom images in several encodings and let the field's validator judge them.
# dciodvfy comes from Debian's dicom3tools; it is installed where apt and root are at hand.
# Usage: validate_dicom.sh PYTHON [FOLDER]
set -eu
python=$1
folder=${2:-$(mktemp -d)}

if ! command -v dciodvfy >/dev/null 2>&1; then
    command -v apt-get >/dev/null 2>&1 || { echo "install dicom3tools (dciodvfy) first"; exit 1; }
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends dicom3tools
fi

"$python" .ci/write_dicom_results.py "$folder"
errors=0
objects=0
for file in "$folder"/*.sr.dcm "$folder"/*.pr.dcm "$folder"/*.sc.dcm "$folder"/*.ko.dcm; do
    objects=$((objects + 1))
    complaints=$(dciodvfy -new "$file" 2>&1 | grep '^Error' || true)
    if [ -n "$complaints" ]; then
        errors=$((errors + 1))
        printf '%s\n%s\n' "${file##*/}" "$complaints"
    fi
done
echo "$objects DICOM objects validated, $errors with errors ($folder)"
[ "$errors" = 0 ]
