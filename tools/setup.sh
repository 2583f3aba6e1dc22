#!/usr/bin/env bash
# Checks what Realm needs to be built and tested; as root, installs what is missing.
#
#   tools/setup.sh          for building, tests and lint: check, install as root, else fail with
#                           the exact command
#   tools/setup.sh build    only what building and serving need
#   tools/setup.sh --check  install nothing, only say what is missing
#
# Debian and Ubuntu package names.  Answers within a second when everything is there.
set -euo pipefail

check_only=no
build_only=no
case ${1:-} in
--check) check_only=yes ;;
build) build_only=yes ;;
'') ;;
*)
    echo "usage: tools/setup.sh [build | --check]" >&2
    exit 2
    ;;
esac
say() { printf 'setup: %s\n' "$*" >&2; }

missing=()
# need <package> <command that succeeds when it is there>
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has_header() { [ -e "/usr/include/$1" ] || compgen -G "/usr/include/*/$1" >/dev/null; }

need gcc command -v gcc
need libc6-dev has_header stdio.h
need binutils command -v objcopy
need make command -v make
need cmake command -v cmake
need ninja-build command -v ninja
need pkg-config command -v pkg-config
need curl command -v curl
need python3 command -v python3
need python3-venv python3 -c 'import venv, ensurepip'
need libssl-dev has_header openssl/ssl.h
need libpcre2-dev has_header pcre2.h
need libsqlite3-dev has_header sqlite3.h
need libcurl4-openssl-dev has_header curl/curl.h
need libwebsockets-dev has_header libwebsockets.h
need libjansson-dev has_header jansson.h
need libyaml-dev has_header yaml.h
# The tests are configured with every build, so that one build directory serves both.
need libcmocka-dev has_header cmocka.h
need g++ command -v g++
if [ "$build_only" = no ]; then
    need ccache command -v ccache
    need libsimde-dev has_header simde/x86/avx512.h
    need clang-19 command -v clang-19
    need libclang-rt-19-dev compgen -G '/usr/lib/llvm-19/lib/clang/19/lib/*/libclang_rt.asan*'
    need lld-19 command -v wasm-ld-19
    need clang-format-19 command -v clang-format-19
    need clang-tidy-19 command -v clang-tidy-19
    need llvm-19 command -v llvm-symbolizer-19
    need qemu-user command -v qemu-aarch64
    need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
    need nodejs command -v node
    need npm command -v npm
    need libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/include/stdio.h
fi
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)

# Not every release carries clang 19; it is for tests and lint, so its lack only skips those.
drop_unavailable() {
    local kept=() package
    for package in "${missing[@]}"; do
        case $package in
        *-19 | *-19-dev)
            if ! apt-cache show "$package" >/dev/null 2>&1; then
                say "$package is not in this release: sanitizers, fuzzers and lint need it"
                continue
            fi
            ;;
        esac
        kept+=("$package")
    done
    missing=("${kept[@]+"${kept[@]}"}")
}

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$check_only" = yes ]; then
        say "missing: ${missing[*]}"
        exit 1
    fi
    if ! command -v apt-get >/dev/null; then
        say "missing, by their Debian names: ${missing[*]}"
        say "this system has no apt-get; install their counterparts and try again"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "missing: ${missing[*]}"
        say "run:  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
        exit 1
    fi
    say "apt-get update"
    apt-get update -q=2 >&2
    drop_unavailable
    if [ ${#missing[@]} -gt 0 ]; then
        say "apt-get install ${missing[*]}"
        DEBIAN_FRONTEND=noninteractive apt-get install -q=2 -y --no-install-recommends \
            "${missing[@]}" >&2
    fi
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
wanted=$(sed -nE 's/^rust-version = "(.*)"$/\1/p' "$root/deps/Cargo.toml")
if ! command -v cargo >/dev/null; then
    say "cargo is missing.  Rust $wanted or newer builds the sandbox and the chat templates;"
    say "distributions' packages are older.  Get it by rustup (https://rustup.rs), then try again."
    exit 1
fi

# The tests build programs of tenants: Rust for wasm32 and Go.
if [ "$build_only" = no ]; then
    target=wasm32-unknown-unknown
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
        if [ "$check_only" = yes ] || ! command -v rustup >/dev/null; then
            say "Rust lacks the target $target: rustup target add $target"
            exit 1
        fi
        say "rustup target add $target"
        rustup target add "$target" >&2
    fi
    if ! command -v go >/dev/null; then
        say "Go is missing (https://go.dev/dl, 1.24 or newer): its guest programs are not tested"
    fi
fi
