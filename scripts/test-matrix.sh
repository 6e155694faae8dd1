#!/usr/bin/env bash
# Installs the wheel, as a user would, on each supported Python and Django found here, and runs the Python tests there
# (without those marked slow or browser, which the main environment runs).
set -euo pipefail
cd "$(dirname "$0")/.."

echo "==> Building the wheel"
rm -rf target/wheels
.venv/bin/maturin build --release --quiet --out target/wheels
wheel=$(echo target/wheels/dwebsocket_rs-*.whl)

find_python() {
    local version=$1 candidate
    for candidate in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        if [ -x "$candidate" ] && "$candidate" -c 'import venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

run() {
    local version=$1 django=$2 python folder
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "==> Python $version is not on this machine: Django $django is not tested on it"
        return
    fi
    folder=target/matrix/python$version-django$django
    echo "==> The wheel on Python $version with Django $django"
    if [ ! -x "$folder/bin/python" ]; then
        "$python" -m venv "$folder"
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --group test "Django~=$django.0"
    fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
    "$folder/bin/python" -m pytest -q -m "not slow and not browser" -p no:cacheprovider
}

run 3.11 4.2
run 3.12 4.2
run 3.12 5.2
run 3.13 5.2
