"""`realm serve` as root: refused with the remedy, unless the flag says that it is meant."""

import os
import shutil
import subprocess

import pytest

REALM = os.environ["REALM"]
# Where the tests run as another user, a user namespace makes them root of nothing.
AS_ROOT = [] if os.geteuid() == 0 else ["unshare", "-r"]


@pytest.fixture(autouse=True, scope="module")
def can_be_root():
    if AS_ROOT and (shutil.which("unshare") is None or subprocess.run([*AS_ROOT, "true"]).returncode != 0):
        pytest.skip("neither root nor user namespaces")


def serve(folder, *arguments):
    return subprocess.run([*AS_ROOT, REALM, "serve", "--port", "0", "--data", folder / "data",
                           "--model", "none=/nowhere.gguf", *arguments],
                          capture_output=True, text=True, timeout=60)


def test_root_is_refused_before_anything_is_made(tmp_path):
    refused = serve(tmp_path)
    assert refused.returncode != 0 and "--allow-root" in refused.stderr and "another user" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_root_may_be_allowed(tmp_path):
    allowed = serve(tmp_path, "--allow-root")
    assert "/nowhere.gguf" in allowed.stderr and "--allow-root" not in allowed.stderr
    assert (tmp_path / "data").exists()
