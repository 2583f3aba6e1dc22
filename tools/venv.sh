#!/usr/bin/env bash
# Makes the Python environment of the tests once and prints its path, the last line of output.
#
# The name carries a hash of tests/requirements.txt, so an environment that exists is the right one.
# REALM_CACHE_DIR   where (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/tests/requirements.txt
cache=${REALM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/realm}
hash=$({ python3 --version && cat "$requirements"; } | sha256sum | cut -c1-16)
venv=$cache/venv-$hash

if [ ! -e "$venv/.finished" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/venv.lock"
    flock 9
    if [ ! -e "$venv/.finished" ]; then
        printf 'venv: making %s\n' "$venv" >&2
        # A venv knows its own path, so it is made in place and marked when it is finished.
        rm -rf "$venv"
        python3 -m venv "$venv" >&2
        "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
            -r "$requirements" >&2
        : >"$venv/.finished"
    fi
fi
printf '%s\n' "$venv"
