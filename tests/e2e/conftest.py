"""What the user stories share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(os.environ["REALM_TEST_DATA"])
sys.path.insert(0, str(TESTS / "support"))


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """The module of a folder of guests/ or tests/guests/, built once as its user would."""
    modules = {}

    def build_once(name):
        if name not in modules:
            out = tmp_path_factory.mktemp(name)
            [folder] = [folder for folder in (TESTS.parent / "guests" / name, TESTS / "guests" / name)
                        if folder.exists()]
            done = subprocess.run(["make", "-C", folder, f"OUT={out}"],
                                  capture_output=True, text=True, timeout=280)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "warning" not in done.stderr, done.stderr
            modules[name] = out / f"{name}.wasm"
        return modules[name]

    return build_once
