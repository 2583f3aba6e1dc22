#!/usr/bin/env bash
# librealm defines and shows exactly what include/realm.h marks REALM_API (static archives may show
# other realm_* names too, shared libraries may not).
#
#   tools/check_symbols.sh librealm.a [librealm.so]
#   REALM_HEADER=FILE   another header to compare with (the check's own test)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
header=${REALM_HEADER:-$root/include/realm.h}

report() { # <library> <reason>: names on standard input
    sed -e '/^$/d' -e "s|^|$1: |" -e "s|\$|: $2|"
}

# The name before the first parenthesis of each declaration.
declared=$(tr '\n' ' ' <"$header" | grep -oE 'REALM_API [^(;]*\(' | grep -oE 'realm_[a-z0-9_]+\($' |
    tr -d '(' | LC_ALL=C sort -u)
[ -n "$declared" ] || {
    echo "$header: no REALM_API declarations found" >&2
    exit 2
}
[ $# -gt 0 ] || {
    echo "usage: tools/check_symbols.sh LIBRARY..." >&2
    exit 2
}

found=$(
    for library in "$@"; do
        kind=(--dynamic)
        [[ $library != *.a ]] || kind=()
        shown=$(nm ${kind[@]+"${kind[@]}"} --extern-only --defined-only --format=posix "$library" |
            awk 'NF >= 2 { print $1 }' | LC_ALL=C sort -u)
        grep -v '^realm_' <<<"$shown" | report "$library" "shown, but not ours to show" || true
        if [[ $library != *.a ]]; then
            comm -13 <(echo "$declared") <(grep '^realm_' <<<"$shown") |
                report "$library" "shown, but not declared REALM_API"
        fi
        comm -23 <(echo "$declared") <(echo "$shown") |
            report "$library" "declared REALM_API, but missing"
    done
)
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    exit 1
fi
echo "symbols: $(wc -l <<<"$declared") functions, as declared"
