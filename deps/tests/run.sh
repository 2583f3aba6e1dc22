#!/usr/bin/env bash
# Checks the built archive from C (it links, Wasmtime and llguidance do what Realm asks of them) and
# runs the Rust unit tests of deps/src.  Needs cc and cargo; builds deps/ first if it must.
#
#   deps/tests/run.sh           everything
#   deps/tests/run.sh --quick   without the Rust tests
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=$("$here/../build.sh" | tail -n1)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
read -r -a libraries <"$prefix/lib/realm_deps.link"

for program in wasmtime llguidance; do
    "${CC:-cc}" -std=c17 -Wall -Wextra -Werror -isystem "$prefix/include" \
        -o "$scratch/$program" "$here/$program.c" "$prefix/lib/librealm_deps.a" "${libraries[@]}"
    "$scratch/$program"
done
for header in realm_template.h llguidance.h wasmtime.h; do
    printf '#include <%s>\n' "$header" >"$scratch/header.c"
    "${CC:-cc}" -std=c11 -fsyntax-only -isystem "$prefix/include" "$scratch/header.c"
done
if [ "${1:-}" != --quick ]; then
    # In the cache's target folder: the dependencies are those of the build.
    cd "$here/.."
    RUSTC_BOOTSTRAP=realm_deps cargo test --locked --release --quiet \
        --target-dir "${prefix%/*}/target"
fi
