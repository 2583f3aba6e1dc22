#!/usr/bin/env bash
# clang-tidy over our sources, two at a time.  The first warning of a file fails the run, which goes
# on through the others.
#
#   tools/tidy.sh [FILE...]     default: all of src/
#   tools/tidy.sh --changed     files of src/ that differ from origin/main, or from HEAD without one
#
# REALM_TIDY_BUILD   a configured build directory (default: build/debug, configured when missing)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tidy=${CLANG_TIDY:-clang-tidy-19}
build=${REALM_TIDY_BUILD:-build/debug}
command -v "$tidy" >/dev/null || {
    echo "tidy: $tidy is missing; \"make setup\" installs it" >&2
    exit 1
}
if [ ! -e "$build/compile_commands.json" ]; then
    cmake --preset debug >/dev/null
fi

case ${1:-} in
--changed)
    base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)
    mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- 'src/*.c')
    ;;
'') mapfile -t files < <(find src -name '*.c' | LC_ALL=C sort) ;;
*) files=("$@") ;;
esac

# Files this machine does not compile (another processor's instruction sets) are not in the list.
known=()
for file in "${files[@]+"${files[@]}"}"; do
    if grep -q "/$file\"" "$build/compile_commands.json"; then
        known+=("$file")
    fi
done
echo "tidy: ${#known[@]} files" >&2
[ ${#known[@]} -gt 0 ] || exit 0

# tools/tidy.h comes first, so the features a file asks for are asked for here.
check() {
    local arguments=(--quiet -p "$build")
    if [ "$1" != src/base/status.c ]; then
        arguments+=(--extra-arg=-D_GNU_SOURCE= --extra-arg=-include
            --extra-arg="$PWD/tools/tidy.h" --extra-arg=-Wno-unused-value)
    fi
    "$tidy" "${arguments[@]}" "$1" 2>/dev/null
}
export -f check
export tidy build
printf '%s\0' "${known[@]}" | xargs -0 -n 1 -P "${REALM_JOBS:-2}" bash -c 'check "$1"' tidy
