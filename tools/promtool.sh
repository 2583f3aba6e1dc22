#!/usr/bin/env bash
# Prints the path of promtool, Prometheus' checker of metrics, the last line of output.
#
# Where it is not installed, it is taken out of Debian's package once, without installing the
# package (that would start a server).
# REALM_CACHE_DIR   where (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
set -euo pipefail

if command -v promtool; then
    exit 0
fi
cache=${REALM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/realm}
tool=$cache/promtool
if [ ! -x "$tool" ]; then
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/.promtool.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    chmod 755 "$scratch"
    (cd "$scratch" && apt-get download prometheus >&2)
    dpkg-deb -x "$scratch"/prometheus_*.deb "$scratch/package"
    mv "$scratch/package/usr/bin/promtool" "$tool"
fi
printf '%s\n' "$tool"
