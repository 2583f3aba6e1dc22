#!/usr/bin/env bash
# Formats our C files with the tree's .clang-format, and programs of tenants in Rust and Go with their
# languages' own tools where those are installed; or checks that they are formatted.
#
#   tools/format.sh [--check]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
format=${CLANG_FORMAT:-clang-format-19}
command -v "$format" >/dev/null || {
    echo "format: $format is missing; \"make setup\" installs it" >&2
    exit 1
}
mode=(-i)
[ "${1:-}" != --check ] || mode=(--dry-run -Werror)
folders=()
for folder in include src tests tools examples bench guests deps/include deps/tests; do
    [ ! -d "$folder" ] || folders+=("$folder")
done
find "${folders[@]}" -name '*.[ch]' -print0 | xargs -0 -n 20 "$format" "${mode[@]}"

mapfile -t rust < <(find guests tests/guests -name target -prune -o -name '*.rs' -print)
if command -v rustfmt >/dev/null; then
    rustfmt --config-path guests/rustfmt.toml ${1:+--check} "${rust[@]}"
fi
if command -v gofmt >/dev/null; then
    if [ "${1:-}" = --check ]; then
        unformatted=$(gofmt -l guests tests/guests)
        [ -z "$unformatted" ] || {
            echo "format: not as gofmt has it: $unformatted" >&2
            exit 1
        }
    else
        gofmt -w guests tests/guests
    fi
fi
