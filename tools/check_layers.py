#!/usr/bin/env python3
"""Reads the #include lines of src/ against tools/layers.txt.

    tools/check_layers.py [--root DIR]

Refused: an include of a folder that the includer's line does not name, of a header that is no face
of its folder, of a library's header outside the files it belongs to, and of anything in an
instruction-set folder but what the isa: lines allow; and a realm_folder() line of CMake whose USES
differ from the law.  Prints
file:line: reason; exit code 1 when there was one.
"""

import argparse
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

FOLDER = re.compile(r"realm_folder\((\w+)(?:\s+USES\s+([a-z0-9_\s]*?))?\s*(?:[A-Z]+\s[^)]*)?\)")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
ISA_FOLDER = re.compile(r"^backend/cpu/(avx|neon)[a-z0-9]*/")

class Law:
    """tools/layers.txt, parsed."""

    def __init__(self, text):
        self.uses = {}
        self.faces = set()
        self.libraries = []
        self.isa = []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            key, separator, rest = (part.strip() for part in line.partition(":"))
            if not separator:
                raise SystemExit(f"layers.txt:{number}: no colon: {line!r}")
            if key == "face":
                self.faces.update(rest.split())
            elif key == "isa":
                self.isa.extend(rest.split())
            elif key == "library":
                header, _, files = (part.strip() for part in rest.partition(":"))
                self.libraries.append((header, files.split()))
            elif key != "c_only":
                self.add_folder(number, key, rest.split())

    def add_folder(self, number, folder, uses):
        for used in uses:
            if used not in self.uses:
                raise SystemExit(f"layers.txt:{number}: {folder} uses {used}, which is not above")
        self.uses[folder] = uses

    def is_face(self, header):
        return any(fnmatchcase(header, face) for face in self.faces)

    def check_own(self, path, header):
        """Reason why `path` (below src/) may not include our `header`, or None."""
        folder, other = path.split("/")[0], header.split("/")[0]
        if other == folder:
            return None
        if other not in self.uses:
            return f"there is no folder {other}/"
        if other not in self.uses[folder]:
            return f"{folder} may not use {other} (tools/layers.txt)"
        if not self.is_face(header):
            return f"{header} is no face of {other} (tools/layers.txt)"
        return None

    def check_isa(self, header):
        if any(fnmatchcase(header, allowed) for allowed in self.isa):
            return None
        return f"an instruction-set folder includes kernels.h and intrinsics only, not {header}"

    def check_library(self, path, header):
        owners = [files for pattern, files in self.libraries if fnmatchcase(header, pattern)]
        if owners and not any(fnmatchcase(path, file) for files in owners for file in files):
            return f"<{header}> belongs to {' '.join(sorted(set(sum(owners, []))))} only"
        return None


def check_file(law, source, path):
    """Yields (line number, reason) for one file; path is relative to src/."""
    folder = path.split("/")[0]
    if folder not in law.uses:
        yield 1, f"the folder {folder}/ has no line in tools/layers.txt"
        return
    for number, line in enumerate(source.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match[1] or match[2]
        if ISA_FOLDER.match(path):
            reason = law.check_isa(header)
        else:
            reason = law.check_library(path, header)
        if reason is None and match[1]:
            if "/" not in header:
                reason = f'write the folder: "{folder}/{header}"'
            else:
                reason = law.check_own(path, header)
        if reason is not None:
            yield number, reason


def check_cmake(law, text, path):
    """Yields (line number, reason): what CMake links is what the law names."""
    for match in FOLDER.finditer(text):
        folder, uses = match[1], (match[2] or "").split()
        if folder != path.split("/")[0]:
            reason = f"makes the library of {folder}/"
        elif sorted(uses) != sorted(law.uses.get(folder, [])):
            reason = f"USES {' '.join(uses)}, but the law says {' '.join(law.uses.get(folder, []))}"
        else:
            continue
        yield text.count("\n", 0, match.start()) + 1, reason


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    law = Law((root / "tools/layers.txt").read_text())
    n_files = n_wrong = 0
    files = [*(root / "src").rglob("*.[ch]"), *(root / "src").glob("*/CMakeLists.txt")]
    for file in sorted(files):
        n_files += 1
        path = file.relative_to(root / "src").as_posix()
        check = check_cmake if file.name == "CMakeLists.txt" else check_file
        for number, reason in check(law, file.read_text(), path):
            n_wrong += 1
            print(f"src/{path}:{number}: {reason}")
    print(f"layers: {n_files} files, {n_wrong} violations", file=sys.stderr)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
