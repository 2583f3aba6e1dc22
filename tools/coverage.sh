#!/usr/bin/env bash
# Line coverage of build/coverage, one line a file, worst first.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
find build/coverage -path '*src*' -name '*.gcda' -print0 |
    xargs -0 gcov --no-output --relative-only 2>/dev/null |
    awk '/^File .*src\// { file = $2 } /^Lines executed/ && file {
             split($2, part, /[:%]/); printf "%6.1f %% %6d  %s\n", part[2], $4, file; file = "" }' |
    tr -d "'" | sort -n -u
