#!/bin/sh
# Make the virtual environment $2 with the Python $1. Debian ships venv's installer apart from Python: where it is
# missing, the package manager brings it.
set -eu
python=$1
venv=$2

command -v "$python" >/dev/null || {
    echo "No '$python' here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 ..." >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Midband needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1). Name a newer one: make PYTHON=..." >&2
    exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    if command -v apt-get >/dev/null && { [ -z "$as_root" ] || command -v sudo >/dev/null; }; then
        echo "Installing python3-venv ..."
        $as_root apt-get update -qq
        $as_root apt-get install -y -qq python3-venv
    else
        echo "This Python has no 'venv'. Install your system's python3-venv package, then try again." >&2
        exit 1
    fi
fi
rm -rf "$venv"
exec "$python" -m venv "$venv"
