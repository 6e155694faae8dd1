#!/usr/bin/env bash
# original.sh PYTHON FOLDER: a virtual environment with dwebsocket 0.5.12, for the tests that compare it with ours.
# The newest Django it works on is 3.0, and the newest CPython that runs there is 3.11.
set -euo pipefail
given=$1 folder=$2
for python in "$given" python3.11 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11.*/bin/python; do
    if "$python" -c 'import sys, venv; raise SystemExit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        break
    fi
    python=
done
if [ -z "$python" ]; then
    echo "==> CPython 3.11 is not on this machine: dwebsocket 0.5.12, which needs it, is not compared with"
    exit
fi
echo "==> Installing dwebsocket 0.5.12 with Django 3.0 and gunicorn into $folder"
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    dwebsocket==0.5.12 Django==3.0.14 'gunicorn==27.*'
touch "$folder/.ready"
