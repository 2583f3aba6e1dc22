#!/usr/bin/env bash
# Builds deps/ once into the cache and prints, as its last line, the prefix where it lies:
#   lib/librealm_deps.a     wasmtime's C API, llguidance and realm_template_*, one Rust runtime
#   lib/realm_deps.link     the system libraries to link behind it, one line
#   include/                wasm.h, wasmtime.h, wasmtime/*.h, llguidance.h, realm_template.h
#
# The prefix's name is a hash over everything that goes in, so a prefix that exists is finished and
# right: it is filled under a temporary name and renamed.  Two builds at once wait for each other.
# About five minutes on two cores the first time, seconds when only src/ has changed.
#
# Prefixes that nobody asked for in thirty days are removed when a new one is made.
#
# REALM_CACHE_DIR   where to build and install (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
# REALM_DEPS_JOBS   how many crates to compile at once (default: as many as there are cores)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${REALM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/realm}/deps"
target="$cache/target"

say() { printf 'deps: %s\n' "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

find_rust() {
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    fi
    local tool
    for tool in cargo rustc; do
        command -v "$tool" >/dev/null ||
            fail "$tool is not in PATH. Rust $wanted or newer is needed: https://rustup.rs"
    done
    local have
    have=$(cd "$here" && rustc --version | sed -E 's/^rustc ([0-9]+\.[0-9]+).*/\1/')
    if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" != "$wanted" ]; then
        fail "rustc $have is too old, $wanted is needed. With rustup: rustup update stable"
    fi
}

# Names as well as contents, so that a moved file counts as a change.
hash_inputs() {
    cd "$here"
    {
        rustc --version --verbose
        printf '%s\n' "${RUSTFLAGS:-}"
        find Cargo.toml Cargo.lock build.sh include src -type f | LC_ALL=C sort |
            xargs sha256sum
    } | sha256sum | cut -c1-16
}

compile() {
    mkdir -p "$target"
    local jobs=()
    if [ -n "${REALM_DEPS_JOBS:-}" ]; then
        jobs=(--jobs "$REALM_DEPS_JOBS")
    fi
    # rustc writes the list of libraries only when it runs; without the list, make it run.
    if [ ! -s "$target/native-static-libs" ]; then
        cargo clean --quiet --release --package realm_deps --target-dir "$target" >&2 || true
    fi
    # src/bounds.rs says what this is for.
    export RUSTC_BOOTSTRAP=realm_deps
    unset CARGO_BUILD_TARGET # it would move the result
    cargo rustc --locked --release --target-dir "$target" ${jobs[@]+"${jobs[@]}"} -- \
        --print "native-static-libs=$target/native-static-libs" >&2
}

# The folder of a crate's sources, for the headers it ships.
crate_folder() {
    local manifest
    manifest=$(cargo metadata --locked --offline --format-version 1 --filter-platform "$host" |
        grep -oE "\"manifest_path\":\"[^\"]*/$1(-[0-9][^\"/]*)?/Cargo\.toml\"" | head -n1 |
        sed -E 's/^"manifest_path":"(.*)\/Cargo\.toml"$/\1/')
    [ -d "$manifest" ] || fail "the sources of the crate $1 were not found"
    printf '%s\n' "$manifest"
}

# wasmtime/conf.h says which features the library was built with; ours stand in Cargo.toml.
make_conf_header() {
    local line name
    local features
    features=$(sed -n '/^wasmtime-c-api-impl/,/\]/p' Cargo.toml | grep -oE '"[a-z][a-z-]*"' |
        tr -d '"' | tr 'a-z-' 'A-Z_')
    while IFS= read -r line; do
        case $line in
        '#cmakedefine WASMTIME_FEATURE_'*)
            name=${line#\#cmakedefine WASMTIME_FEATURE_}
            if grep -qx "$name" <<<"$features"; then
                printf '#define WASMTIME_FEATURE_%s\n' "$name"
            else
                printf '/* #undef WASMTIME_FEATURE_%s */\n' "$name"
            fi
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done <"$1"
}

install_headers() {
    local wasmtime llguidance
    wasmtime=$(crate_folder wasmtime-c-api-impl)
    llguidance=$(crate_folder llguidance)
    mkdir -p "$1"
    cp -R "$wasmtime/include/." "$1/"
    make_conf_header "$1/wasmtime/conf.h.in" >"$1/wasmtime/conf.h"
    rm "$1/wasmtime/conf.h.in"
    cp "$llguidance/llguidance.h" include/*.h "$1/"
}

install_prefix() {
    local new="$cache/.new.$$"
    trap "rm -rf '$new'" EXIT
    mkdir -p "$new/lib"
    cp "$target/release/librealm_deps.a" "$new/lib/"
    # The standard library comes with debug information that is larger than all of its code.
    objcopy --strip-debug "$new/lib/librealm_deps.a" 2>/dev/null ||
        say "objcopy is missing: the library keeps its debug information"
    tr '\n' ' ' <"$target/native-static-libs" | sed -E 's/ +$//' >"$new/lib/realm_deps.link"
    printf '\n' >>"$new/lib/realm_deps.link"
    install_headers "$new/include"
    mv "$new" "$prefix"
}

wanted=$(sed -nE 's/^rust-version = "(.*)"$/\1/p' "$here/Cargo.toml")
find_rust
host=$(rustc --version --verbose | sed -n 's/^host: //p')
prefix="$cache/$(hash_inputs)"
if [ ! -d "$prefix" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    if ! flock --nonblock 9; then
        say "another build is running; waiting for it"
        flock 9
    fi
    if [ ! -d "$prefix" ]; then
        say "building Wasmtime, llguidance and minijinja (once; some minutes)"
        cd "$here"
        compile
        install_prefix
        find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 ! -name target -exec rm -rf {} +
        say "installed in $prefix"
    fi
fi
touch "$prefix" 2>/dev/null || true # the cache may be read-only
printf '%s\n' "$prefix"
