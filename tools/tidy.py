#!/usr/bin/env python3
"""clang-tidy over src/ and the tests' support; what was clean and has not changed costs nothing.

    tools/tidy.py               every file of src/, tests/support/ and tests/kernels/
    tools/tidy.py FILE...       these
    tools/tidy.py --changed     those of the files above that differ from where this branch left
                                origin/main, or main

A file is known to be clean by a hash over its compile command, every header it reads, the checks and
the version of clang-tidy; the hashes lie in the cache folder.  Every file is looked at before the
run fails.

REALM_TIDY_BUILD   a configured build directory (default: build/debug, configured when missing)
REALM_CACHE_DIR    the cache (default: $XDG_CACHE_HOME/realm or ~/.cache/realm)
REALM_JOBS         files at a time (default: as many as there are cores)
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY = os.environ.get("CLANG_TIDY", "clang-tidy-19")
FOLDERS = ("src", "tests/support", "tests/kernels")
# It defines functions of status.h as macros, which the file that defines them cannot bear.
WITHOUT_HEADER = "src/base/status.c"
# tools/tidy.h comes first, so the features a file asks for are asked for here.
EXTRA = ["-D_GNU_SOURCE=", "-include", str(ROOT / "tools/tidy.h"), "-Wno-unused-value"]
# In kernels one macro makes a function for each type and vectors have short names; there and in packing
# what is multiplied are small strides within a tile.
KERNELS = re.compile(r"src/backend/cpu/((scalar|avx|amx|neon)[a-z0-9]*/|pack)")
KERNEL_ARGUMENTS = [
    "--checks=-readability-function-size,-readability-identifier-naming,-bugprone-signed-char-misuse,"
    "-cert-str34-c,-bugprone-implicit-widening-of-multiplication-result"]
FORGET_AFTER_SECONDS = 30 * 86400


def cache_folder():
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("REALM_CACHE_DIR") or Path(home) / "realm") / "tidy"
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.stat().st_mtime < time.time() - FORGET_AFTER_SECONDS:
            entry.unlink(missing_ok=True)
    return folder


def compile_commands(build):
    """Path below the root -> (arguments, folder).  Files of other processors are not in the list."""
    if not (build / "compile_commands.json").exists():
        subprocess.run(["cmake", "--preset", "debug"], check=True, stdout=subprocess.DEVNULL)
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = Path(entry["file"])
        if file.is_relative_to(ROOT):
            arguments = shlex.split(entry["command"])
            if Path(arguments[0]).name == "ccache":
                arguments = arguments[1:]
            commands[file.relative_to(ROOT).as_posix()] = (arguments, entry["directory"])
    return commands


def changed_files():
    def git(*arguments):
        return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.split()

    base = git("merge-base", "HEAD", "origin/main") or git("merge-base", "HEAD", "main") or ["HEAD"]
    return git("diff", "--name-only", "--diff-filter=d", base[0], "--", *FOLDERS)


def tidy_arguments(file):
    """What clang-tidy is told about one file, beside its checks and its compile command."""
    arguments = [f"--extra-arg={argument}" for argument in extra_arguments(file)]
    return arguments + (KERNEL_ARGUMENTS if KERNELS.match(file) else [])


def extra_arguments(file):
    return [] if file == WITHOUT_HEADER else EXTRA


def state_of(file, command, common):
    """The hash of all that clang-tidy's verdict depends on; None: the file does not even parse."""
    arguments, folder = command
    at = arguments.index("-o")
    listed = subprocess.run(
        [*arguments[:at], *arguments[at + 2:], *extra_arguments(file), "-M"],
        cwd=folder, capture_output=True, text=True)
    if listed.returncode != 0:
        return None
    state = hashlib.sha256(common)
    # Without the root's own path: clones in other folders share what is known.
    state.update(" ".join(arguments + tidy_arguments(file)).replace(str(ROOT), "").encode())
    for header in shlex.split(listed.stdout.replace("\\\n", " "))[1:]:
        state.update((Path(folder) / header).read_bytes())
    return state.hexdigest()


def check(file, build, command, common, cache):
    """clang-tidy's report; empty: the file is clean."""
    state = state_of(file, command, common)
    if state is not None and (cache / state).exists():
        (cache / state).touch()
        return ""
    result = subprocess.run([TIDY, "--quiet", "-p", build, *tidy_arguments(file), file],
                            cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        return result.stdout or result.stderr or f"{file}: {TIDY} ended with {result.returncode}\n"
    if state is not None:
        (cache / state).touch()
    return ""


def main():
    os.chdir(ROOT)
    if shutil.which(TIDY) is None:
        sys.exit(f'tidy: {TIDY} is missing; "make setup" installs it')
    build = ROOT / os.environ.get("REALM_TIDY_BUILD", "build/debug")
    commands = compile_commands(build)
    wanted = sys.argv[1:]
    if wanted == ["--changed"]:
        wanted = changed_files()
    elif not wanted:
        wanted = [file for file in commands if file.startswith(tuple(f + "/" for f in FOLDERS))]
    files = sorted(file for file in wanted if file in commands)
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    common = version + (ROOT / ".clang-tidy").read_bytes()
    cache = cache_folder()
    with ThreadPoolExecutor(int(os.environ.get("REALM_JOBS") or os.cpu_count())) as pool:
        reports = list(pool.map(
            lambda file: check(file, build, commands[file], common, cache), files))
    n_wrong = sum(report != "" for report in reports)
    # A header's warning comes once, not once for each file that includes it.
    warnings = re.split(r"^(?=\S+:\d+:\d+: (?:error|warning): )", "".join(reports), flags=re.MULTILINE)
    print("".join(dict.fromkeys(warnings)), end="")
    print(f"tidy: {len(files)} files, {n_wrong} with warnings", file=sys.stderr)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
