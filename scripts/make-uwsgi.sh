#!/usr/bin/env bash
# make-uwsgi.sh FOLDER: builds uWSGI, which has no wheel, into a virtual environment; only the tests want it.
set -euo pipefail
folder=$1
command -v cc >/dev/null || scripts/packages.sh "building uWSGI" gcc libc6-dev
headers=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
# A Python that was not built on this machine comes from Debian, without its headers.
[ -e "$headers/Python.h" ] || scripts/packages.sh "building uWSGI" python3-dev
echo "==> Building uWSGI for the tests (half a minute)"
# Not a wheel that pip has kept: it may be linked with another Python of the same version.
.venv/bin/python -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check --no-cache-dir --group uwsgi
