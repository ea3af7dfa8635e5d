#!/bin/sh
# Browser tests need a Chromium: one that is on the machine, else the package manager's, else Playwright's ($1: python).
set -eu
python=$1

if [ -n "${CHROMIUM:-}" ] && [ -x "$CHROMIUM" ]; then exit 0; fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || command -v sudo >/dev/null; }; then
    echo "Installing chromium for the browser tests ..."
    if $as_root apt-get update -qq && $as_root apt-get install -y -qq chromium; then exit 0; fi
fi
"$python" -m playwright install chromium || {
    echo "No Chromium found and none could be installed. Install one, or set CHROMIUM=/path/to/it." >&2
    exit 1
}
