#!/usr/bin/env bash
# Installs tests/node/package-lock.json once and prints the folder that holds node_modules, the last
# line of output.
#
# REALM_CACHE_DIR   where (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${REALM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/realm}
hash=$(sha256sum "$root/tests/node/package-lock.json" | cut -c1-16)
folder=$cache/node-$hash

if [ ! -d "$folder" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/node.lock"
    flock 9
    if [ ! -d "$folder" ]; then
        scratch=$(mktemp -d "$cache/.node.XXXXXX")
        trap 'rm -rf "$scratch"' EXIT
        cp "$root"/tests/node/package*.json "$scratch/"
        npm ci --prefix "$scratch" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
        mv "$scratch" "$folder"
    fi
fi
printf '%s\n' "$folder"
