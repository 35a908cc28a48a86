#!/bin/sh
# Install with pip: in a terminal one line that changes with each package, elsewhere nothing but errors.
# Usage: install.sh PYTHON [pip's arguments]
set -u
python=$1
shift
[ -t 1 ] || exec "$python" -m pip install --quiet "$@"
status=$(mktemp)
{ "$python" -m pip install "$@"; echo $? >"$status"; } | awk '
    /^(Collecting|  Downloading|Installing|Building)/ { printf "\r\033[K  %.76s", $0; fflush() }
    END { printf "\r\033[K" }'
code=$(cat "$status")
rm -f "$status"
exit "$code"
