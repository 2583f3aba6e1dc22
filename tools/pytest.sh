#!/usr/bin/env bash
# The Python tests (tests/api, tests/e2e, tests/isolation) against a built program.
#
#   tools/pytest.sh [pytest's arguments]     all suites, or the files and folders among the arguments
#   REALM=PATH   the program (default: build/release/realm)
#
# Tests find: REALM (the program), REALM_TEST_DATA (tests/), REALM_MODEL_SMOLLM2 and
# REALM_MODEL_GEMMA3 (paths of the real models), REALM_NODE (folder with Node packages, found by
# createRequire(REALM_NODE + "/")).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export REALM=${REALM:-$root/build/release/realm}
export REALM_TEST_DATA=$root/tests
REALM_MODEL_SMOLLM2=${REALM_MODEL_SMOLLM2:-$("$root/tools/fetch_model.sh" smollm2 | tail -n1)}
REALM_MODEL_GEMMA3=${REALM_MODEL_GEMMA3:-$("$root/tools/fetch_model.sh" gemma3 | tail -n1)}
export REALM_MODEL_SMOLLM2 REALM_MODEL_GEMMA3

cd "$root"
# Programs of tenants in Rust are built by cargo.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
suites=()
for suite in tests/api tests/e2e tests/isolation; do
    if compgen -G "$suite/test_*.py" >/dev/null; then
        suites+=("$suite")
    fi
done
for argument in "$@"; do
    if [ -e "${argument%%::*}" ]; then
        suites=()
        break
    fi
done
[ ${#suites[@]} -gt 0 ] || [ $# -gt 0 ] || {
    echo "pytest: MISSING: no suite has tests" >&2
    exit 1
}
[ -x "$REALM" ] || {
    echo "pytest: $REALM is missing; \"make\" builds it" >&2
    exit 1
}
REALM_NODE=${REALM_NODE:-$("$root/tools/node.sh" | tail -n1)}
export REALM_NODE
venv=$("$root/tools/venv.sh" | tail -n1)
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider --timeout=300 "$@" "${suites[@]}"
