#!/usr/bin/env bash
# ctest of one preset with the tests' environment; further arguments go to ctest.
#
#   tools/ctest.sh PRESET [ctest's arguments]
#
# A selection without any test fails: it was misspelt, or a suite is gone.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
preset=$1
shift
cd "$root"
REALM_MODEL_SMOLLM2=${REALM_MODEL_SMOLLM2:-$(tools/fetch_model.sh smollm2 | tail -n1)}
REALM_MODEL_GEMMA3=${REALM_MODEL_GEMMA3:-$(tools/fetch_model.sh gemma3 | tail -n1)}
export REALM_MODEL_SMOLLM2 REALM_MODEL_GEMMA3
tools/make_golden/fetch_vocabs.py >/dev/null
export REALM_REQUIRE_MODELS=1
if symbolizer=$(command -v llvm-symbolizer-19); then
    export ASAN_SYMBOLIZER_PATH=$symbolizer
fi

total=$(ctest --preset "$preset" -N "$@" | sed -nE 's/^Total Tests: ([0-9]+)$/\1/p')
if [ "${total:-0}" = 0 ]; then
    echo "ctest: MISSING: no tests in $preset${*:+ for $*}" >&2
    exit 1
fi
exec ctest --preset "$preset" --parallel "${REALM_JOBS:-$(nproc)}" "$@"
