"""A running `realm serve` for the Python tests."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

REALM = os.environ["REALM"]
SMOLLM2 = os.environ["REALM_MODEL_SMOLLM2"]
GEMMA3 = os.environ["REALM_MODEL_GEMMA3"]
START_S = 120
KEY = "a-key-of-the-tests"


def wait_until(condition, deadline_s=30, what="the condition"):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + deadline_s
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < end, f"{what}: not within {deadline_s} s"
        time.sleep(0.02)


def tokens_of(text, model=SMOLLM2):
    """Token ids of a text, as `realm tokenize` gives them."""
    out = subprocess.run([REALM, "tokenize", "-m", model, "--ids"], input=text.encode(),
                         capture_output=True, check=True, timeout=60)
    return json.loads(out.stdout)


class RealmServer:
    """Starts at once and is ready when __init__ returns; `folder` gets its data and its log."""

    def __init__(self, folder, *arguments, models=("smollm2=" + SMOLLM2,), environment=None):
        self.folder = Path(folder)
        self.log_path = self.folder / "server.log"
        port_file = self.folder / "port"
        command = [REALM, "serve", "--port", "0", "--port-file", str(port_file), "--threads", "2",
                   "--data", str(self.folder / "data"), "--log-format", "json",
                   "--allow-root", *arguments]
        for model in models:
            command += ["--model", model]
        environment = {**os.environ, "REALM_API_KEY": KEY, **(environment or {})}
        with open(self.log_path, "wb") as log, open(self.folder / "stdout", "wb") as stdout:
            self.process = subprocess.Popen(command, stdout=stdout, stderr=log, env=environment)
        try:
            wait_until(lambda: self._alive() and port_file.exists(), START_S, "the port file")
            self.port = int(port_file.read_text())
            self.url = f"http://127.0.0.1:{self.port}"
            wait_until(lambda: self._alive() and self.get("/ready")[0] == 200, START_S, "/ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _alive(self):
        assert self.process.poll() is None, self.log_path.read_text(errors="replace")[-4000:]
        return True

    def get(self, path, key=KEY):
        """(status, body); status 0: no answer."""
        request = urllib.request.Request(self.url + path)
        if key is not None:
            request.add_header("Authorization", "Bearer " + key)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def metric(self, name):
        """The sum over all labels."""
        body = self.get("/metrics")[1].decode()
        return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", body, re.M)))

    def log(self):
        """The log's lines so far, each a dict."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def rss_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s=60):
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
