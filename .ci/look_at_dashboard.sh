#!/bin/sh
# Bring Debian's Chromium, Playwright and axe where they are missing, then drive the dashboard and look at it.
# Usage: look_at_dashboard.sh PYTHON FOLDER [more options of look_at_dashboard.py]
set -eu
python=$1
folder=$2
shift 2

if ! command -v chromium >/dev/null 2>&1; then
    command -v apt-get >/dev/null 2>&1 || { echo "install chromium first"; exit 1; }
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends chromium
fi
"$python" -c "import playwright" 2>/dev/null || "$python" -m pip install --quiet playwright

mkdir -p "$folder"
axe="$folder/axe.min.js"
if [ ! -f "$axe" ] && command -v npm >/dev/null 2>&1; then
    (cd "$folder" && npm pack --silent axe-core >/dev/null && tar -xzf axe-core-*.tgz package/axe.min.js &&
        mv package/axe.min.js . && rm -rf package axe-core-*.tgz)
fi
if [ -f "$axe" ]; then
    set -- --axe "$axe" "$@"
else
    echo "no npm: the accessibility checks are left out"
fi
exec "$python" .ci/look_at_dashboard.py "$folder" "$@"
