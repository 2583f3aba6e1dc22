#!/usr/bin/env bash
# Pins tests/requirements.in, with hashes, into tests/requirements.txt.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch"
"$scratch/bin/pip" install --quiet --disable-pip-version-check pip-tools
cd "$root/tests"
CUSTOM_COMPILE_COMMAND=tools/pin_requirements.sh "$scratch/bin/pip-compile" --quiet --generate-hashes \
    --no-emit-index-url --no-emit-trusted-host --strip-extras --allow-unsafe \
    --output-file requirements.txt requirements.in
