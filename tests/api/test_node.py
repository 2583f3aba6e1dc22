"""OpenAI's Node client: tests/node/client.mjs against the running server."""

import os
import subprocess
from pathlib import Path

from realm_server import KEY

SCRIPT = Path(os.environ["REALM_TEST_DATA"]) / "node" / "client.mjs"


def test_the_node_client(server):
    environment = {**os.environ, "REALM_URL": server.url, "REALM_KEY": KEY}
    done = subprocess.run(["node", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok  ") == SCRIPT.read_text().count("    async '")
