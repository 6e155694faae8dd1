#!/usr/bin/env bash
# packages.sh PURPOSE PACKAGE…: installs the Debian packages that are missing, or says which and how.
# Services that a package brings (nginx) are not started: the tests start their own on free ports.
set -euo pipefail
purpose=$1
shift
if ! command -v dpkg-query >/dev/null; then
    echo "error: $purpose needs the equivalents of these Debian packages: $*" >&2
    exit 1
fi
missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ]; then
    root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    root=(sudo)
else
    echo "error: $purpose needs Debian packages that only root can install. Run, and try again:" >&2
    echo "    sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "==> Installing Debian packages for $purpose: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$log"; "${root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod +x "$policy"
fi
install() {
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
if ! install; then
    "${root[@]}" apt-get update >/dev/null 2>&1 || true
    if ! install; then
        tail -n 20 "$log" >&2
        echo "error: apt-get could not install ${missing[*]}" >&2
        exit 1
    fi
fi
