#!/usr/bin/env bash
# make-node.sh FOLDER: installs what tests/node/package.json names; Node itself only where none is on PATH.
set -euo pipefail
folder=$1
command -v node >/dev/null || scripts/packages.sh "a client of Node" nodejs npm
command -v npm >/dev/null || scripts/packages.sh "installing Node's packages" npm
echo "==> Installing Node's ws for the tests into $folder"
mkdir -p "$folder"
cp tests/node/package.json "$folder"
npm install --prefix "$folder" --no-package-lock --no-audit --no-fund --ignore-scripts --silent
