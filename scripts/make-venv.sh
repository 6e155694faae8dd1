#!/usr/bin/env bash
# make-venv.sh PYTHON FOLDER: a virtual environment of CPython 3.11 or later.
set -euo pipefail
python=$1 folder=$2
if ! command -v "$python" >/dev/null; then
    echo "error: $python is not on PATH. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))'; then
    echo "error: $("$python" --version) is too old: 3.11 or later is needed. Name one: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
echo "==> Making $folder with $("$python" --version)"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    scripts/packages.sh "a virtual environment" python3-venv
fi
"$python" -m venv "$folder"
