#!/usr/bin/env python3
"""Line coverage of build/coverage after its tests have run: a line a folder of src/.

    tools/coverage.py            folders
    tools/coverage.py FOLDER...  the files of these as well, and which lines never ran

GCOV   the tool of the compiler that built it (default: gcov)
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/coverage"


def read_counts():
    """{file below src/: {line: times it ran}}; a header's lines are those of all who include it."""
    data = sorted(BUILD.glob("**/*.gcda"))
    if not data:
        sys.exit('coverage: nothing ran in build/coverage; "make coverage" builds and tests it')
    result = subprocess.run(
        [os.environ.get("GCOV", "gcov"), "--json-format", "--stdout", *map(str, data)],
        cwd=BUILD, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"coverage: {result.stderr}")
    counts = {}
    for document in result.stdout.splitlines():
        for file in json.loads(document)["files"]:
            path = (BUILD / file["file"]).resolve()
            if path.is_relative_to(ROOT / "src"):
                lines = counts.setdefault(path.relative_to(ROOT / "src").as_posix(), {})
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] = max(lines.get(number, 0), line["count"])
    return counts


def report(name, lines):
    """lines: how often each ran"""
    n_run = sum(count > 0 for count in lines)
    print(f"{100 * n_run / max(len(lines), 1):6.1f} % {len(lines):6d}  {name}")


def ranges(numbers):
    """[1, 2, 3, 7] -> "1-3 7"; numbers rise."""
    parts = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def main():
    counts = read_counts()
    folders = {}
    for path, lines in counts.items():
        folders.setdefault(path.rsplit("/", 1)[0], []).extend(lines.values())
    for folder in sorted(folders):
        report(folder, folders[folder])
    report("all", [count for lines in folders.values() for count in lines])
    for folder in sys.argv[1:]:
        print()
        for path in sorted(path for path in counts if path.startswith(folder.rstrip("/") + "/")):
            report(path, counts[path].values())
            missed = ranges([number for number, count in sorted(counts[path].items()) if count == 0])
            if missed:
                print(f"{'':18}{missed}")


if __name__ == "__main__":
    main()
