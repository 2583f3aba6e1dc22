#!/usr/bin/env python3
"""House rules that no compiler checks, over src/, include/, tests/, examples/ and guests/.

    tools/check_source.py [--root DIR]

  - banned functions, each outside the place that may call it
  - `#if` inside a function body (instruction-set folders excepted)
  - files over 1,000 lines (tables exempt, kernel folders 1,500; include/ 500)
  - a TODO or FIXME without an issue's number
  - a header without its head comment or include guard
  - a line over 100 columns, a tab, trailing blanks

A line that says NOLINT with a reason in its comment is let through.  Prints file:line: reason;
exit code 1 when there was one.
"""

import argparse
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

# names -> files below src/ that may call them.  The house's reason stands beside each.
BANNED = [
    ("malloc calloc realloc free posix_memalign aligned_alloc memalign strdup strndup reallocarray",
     ["base/alloc.c"], "memory comes from base/alloc.h"),
    ("assert abort exit _exit", ["base/*", "cli/main.c"],
     "nothing inside ends the process: return a status"),
    ("strcpy strcat sprintf vsprintf gets strtok atoi atol atoll atof strncpy alloca", [],
     "unbounded or silent on errors"),
    ("rand srand random time localtime gmtime setlocale getenv", ["base/*", "cli/*"],
     "hidden state: base/ has a replaceable form"),
    ("printf fprintf vprintf vfprintf puts fputs putchar perror", ["base/log.c", "cli/*"],
     "output goes through base/log.h or the caller"),
]
ISA_FOLDER = re.compile(r"^src/backend/cpu/(avx|neon)[a-z0-9]*/")
KERNEL_FOLDER = re.compile(r"^(src/backend/cpu/(scalar|avx|neon)[a-z0-9]*/|tests/kernels/)")
TOKENS = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
MAX_COLUMNS = 100


def blank_out(text):
    """Comments and literals as blanks, every line and column kept."""
    return TOKENS.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def check_banned(path, code):
    inside = path.removeprefix("src/")
    for names, allowed, why in BANNED:
        if any(fnmatchcase(inside, pattern) for pattern in allowed):
            continue
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(names.split()) + r")\s*\(")
        for number, line in enumerate(code.splitlines(), 1):
            for match in pattern.finditer(line):
                yield number, f"{match[1]}: {why}"


def check_conditionals(path, code):
    """`#if` at a brace depth that is a function's.  extern "C" and initialisers do not count."""
    if ISA_FOLDER.match(path):
        return
    depth = 0
    in_function = False
    previous = ""
    for number, line in enumerate(code.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#"):
            if in_function and re.match(r"#\s*if", stripped):
                yield number, "#if inside a function: choose files or a table"
            continue
        for character in line:
            if character == "{":
                if depth == 0 and previous == ")":
                    in_function = True
                depth += 1
            elif character == "}":
                depth -= 1
                if depth <= 0:
                    depth, in_function = 0, False
            if not character.isspace():
                previous = character


def check_length(path, lines):
    name = path.rsplit("/", 1)[-1]
    if name.endswith("_table.c"):
        return
    ceiling = 1000
    if path.startswith("include/"):
        ceiling = 500
    elif KERNEL_FOLDER.match(path):
        ceiling = 1500
    if len(lines) > ceiling:
        yield ceiling + 1, f"{len(lines)} lines; {ceiling} is the ceiling"


def check_lines(lines):
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            yield number, f"{len(line)} columns; {MAX_COLUMNS} is the ceiling"
        if "\t" in line:
            yield number, "tab"
        if line != line.rstrip():
            yield number, "trailing blanks"
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and not re.search(r"#\d+", line):
            yield number, "a TODO names its issue: TODO(#12)"


def check_header(path, text):
    if not path.endswith(".h"):
        return
    if not text.startswith("/*"):
        yield 1, "a header begins with a comment: what it is, its owner, its life, its thread"
    if not re.search(r"^#ifndef (\w+)\n#define \1$", text, re.MULTILINE):
        yield 1, "no include guard"


def check_file(path, text):
    """Yields (line number, reason).  path is relative to the root."""
    lines = text.splitlines()
    code = blank_out(text)
    found = [*check_length(path, lines), *check_lines(lines), *check_header(path, text)]
    if path.startswith("src/"):
        found += check_banned(path, code)
    found += check_conditionals(path, code)
    for number, reason in sorted(found):
        if number <= len(lines) and re.search(r"NOLINT\S*.*:", lines[number - 1]):
            continue
        yield number, reason


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    n_files = n_wrong = 0
    for top in ("include", "src", "tests", "examples", "guests"):
        for file in sorted((root / top).rglob("*.[ch]")):
            n_files += 1
            path = file.relative_to(root).as_posix()
            for number, reason in check_file(path, file.read_text()):
                n_wrong += 1
                print(f"{path}:{number}: {reason}")
    print(f"source: {n_files} files, {n_wrong} violations", file=sys.stderr)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
