#!/usr/bin/env bash
# Runs every fuzzer of build/fuzz for a while, from the kept corpus.  New inputs stay in
# build/fuzz/corpus; what crashes lies in build/fuzz/crashes.
#
#   tools/fuzz.sh [NAME...]     e.g. gguf; default: all
#   FUZZ_SECONDS                a fuzzer's time (default 20)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${FUZZ_SECONDS:-20}
found=0
for program in build/fuzz/tests/fuzz_*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    name=${program##*/fuzz_}
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    found=$((found + 1))
    mkdir -p "build/fuzz/corpus/$name" build/fuzz/crashes
    corpus=("build/fuzz/corpus/$name")
    [ ! -d "tests/fuzz/corpus/$name" ] || corpus+=("tests/fuzz/corpus/$name")
    echo "fuzz: $name, $seconds s"
    log=build/fuzz/$name.log
    if ! "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crashes/$name-" "${corpus[@]}" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "fuzz: $name failed; the input lies in build/fuzz/crashes/" >&2
        exit 1
    fi
    grep -E 'number_of_executed_units|new_units_added' "$log"
done
if [ "$found" = 0 ]; then
    echo "fuzz: MISSING: no fuzzer${*:+ called $*} in build/fuzz" >&2
    exit 1
fi
