#!/bin/sh
# A Chromium for the browser tests: the one that is there, the distribution's where we are root, or
# Playwright's own. Usage: install_chromium.sh PYTHON
set -eu
python=$1

for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    # The one without a window takes two thirds of the time.
    if apt-get update; then
        for name in chromium-headless-shell chromium; do
            if apt-get install -y --no-install-recommends "$name" </dev/null && "$name" --version >/dev/null 2>&1; then
                exit 0
            fi
        done
    fi
    # Ubuntu's package of that name is a snap, which does not run in a container.
    exec "$python" -m playwright install --with-deps chromium
fi
exec "$python" -m playwright install chromium
