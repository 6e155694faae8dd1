#!/usr/bin/env bash
# test-matrix.sh [contract [PYTEST_ARGUMENT…]]: installs the wheel, as a user would, on each supported Python found here,
# with one supported Django or another, and runs the Python tests there (without those marked slow, browser or alone,
# which the main environment runs). On the Djangos that are tried rather than supported, and on one of two Pythons with
# the same Django, it runs only the files about what 0.5.12 promised. With "contract" it runs the contract under every
# server, on one Python for each Django, and leaves the reports in target/contract. WITH_VIDEO=yes: video can be compiled
# here, and its wheel is tried as well.
set -euo pipefail
cd "$(dirname "$0")/.."

promised_files=(tests/python/test_contract_*.py
    tests/python/test_{article,database,decorators,factory,middleware,postgresql,websocket,websocket_bounds}.py)
contract_files=(tests/python/contract "${promised_files[@]}")

echo "==> Building the wheel"
rm -rf target/wheels
.venv/bin/maturin build --release --quiet --out target/wheels
wheel=$(echo target/wheels/dwebsocket_rs-*.whl)
video_wheel=
# Not made to carry the libraries that it is linked with: it is built where it is used.
if [ "${WITH_VIDEO:-}" ]; then
    .venv/bin/maturin build --release --quiet --compatibility off --manifest-path video/Cargo.toml --out target/wheels
    video_wheel=$(echo target/wheels/dwebsocket_rs_video-*.whl)
fi

find_python() {
    local version=$1 candidate
    for candidate in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        if [ -x "$candidate" ] && "$candidate" -c 'import venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# The environments in which the contract goes to every server, and uWSGI is built for it, half a minute each.
with_uwsgi=" 3.11-3.2 "
if [ "${1:-}" = contract ]; then with_uwsgi+="3.11-4.2 3.13-6.1 "; fi

# The pip of the main environment installs into all of them.
pip_in() {
    .venv/bin/python -m pip --python "$1/bin/python" install --quiet --disable-pip-version-check "${@:2}"
}

# The environment in which video is tried: the others show that nobody needs it.
with_video=" 3.12-5.2 "

folder_of() {
    echo "target/matrix/python$1-django$2"
}

# install PYTHON DJANGO: the environment, unless it is there, and the wheel in it.
install() {
    local version=$1 django=$2 python folder
    python=$(find_python "$version")
    [ -n "$python" ] || return 0
    folder=$(folder_of "$version" "$django")
    if [ ! "$folder/.installed" -nt pyproject.toml ]; then
        rm -rf "$folder"
        # Where a caller looks at the status, the shell does not leave a function at the first error by itself.
        "$python" -m venv --without-pip "$folder" || return
        pip_in "$folder" --group test "Django~=$django.0" || return
        touch "$folder/.installed"
    fi
    if [[ $with_uwsgi == *" $version-$django "* && ! -x $folder/bin/uwsgi ]]; then
        scripts/make-uwsgi.sh "$folder" || return
    fi
    pip_in "$folder" --force-reinstall --no-deps "$wheel" || return
    if [[ $with_video == *" $version-$django "* && -n $video_wheel ]]; then
        pip_in "$folder" --force-reinstall --no-deps "$video_wheel" || return
    fi
}

# install_all PYTHON-DJANGO…: all of them at once, since an installation waits for the network most of its time.
install_all() {
    local environment jobs=() status=0
    echo "==> Installing the environments: $*"
    for environment in "$@"; do
        install "${environment%-*}" "${environment#*-}" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job" || status=1
    done
    return "$status"
}

# run PYTHON DJANGO PYTEST_ARGUMENT…
run() {
    local version=$1 django=$2
    shift 2
    if [ -z "$(find_python "$version")" ]; then
        echo "==> Python $version is not on this machine: Django $django is not tested on it"
        return
    fi
    echo "==> The wheel on Python $version with Django $django"
    $pytest "$(folder_of "$version" "$django")/bin/python" -q -m "not slow and not browser" -p no:cacheprovider "$@"
}

one_process() {
    "$1" -m pytest "${@:2}"
}

# Django 3.2 imports a module that Python 3.11 calls deprecated.
old=(-W "ignore:'cgi' is deprecated:DeprecationWarning:django.http.request")

# contract PYTHON DJANGO PYTEST_ARGUMENT…
contract() {
    run "$1" "$2" tests/python/contract --junitxml "target/contract/Django-$2.xml" "${@:3}"
}

if [ "${1:-}" = contract ]; then
    # One report for each Django: one process.
    pytest=one_process
    install_all 3.11-3.2 3.11-4.2 3.13-6.1
    status=0
    contract 3.11 3.2 "${old[@]}" "${@:2}" || status=1
    contract 3.11 4.2 "${@:2}" || status=1
    contract 3.13 6.1 "${@:2}" || status=1
    exit "$status"
fi

pytest="scripts/pytest.sh --without-alone"
install_all 3.11-3.2 3.11-4.2 3.12-5.2 3.13-5.2 3.13-6.1

# The oldest gunicorn that our worker runs under, in front of the one that is installed.
oldest_gunicorn=target/matrix/gunicorn-23
if [ ! -d "$oldest_gunicorn" ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "$oldest_gunicorn" 'gunicorn==23.*'
fi
echo "==> Our worker under gunicorn 23"
PYTHONPATH=$PWD/$oldest_gunicorn $pytest .venv/bin/python -q -m "not slow" -p no:cacheprovider tests/python/test_gunicorn*.py

# The contract goes to every server on the oldest Django here, and on the newest supported one in the main environment,
# where the rest about other servers is tried.
our_server=()
for file in tests/python/test_{adoption*,bench_peers,bench_video,deploy,gunicorn*,hostile_suite,nginx,origin_servers,soak,steps,unsupported_servers,uwsgi}.py; do
    our_server+=(--ignore "$file")
done
run 3.11 3.2 "${old[@]}" "${contract_files[@]}"
run 3.11 4.2 --ignore tests/python/contract "${our_server[@]}"
run 3.12 5.2 "${promised_files[@]}" tests/python/test_{runserver,server,stress}*.py tests/python/test_video{,_core,_feed,_frames}.py
run 3.13 5.2 --ignore tests/python/contract "${our_server[@]}"
run 3.13 6.1 "${promised_files[@]}"
