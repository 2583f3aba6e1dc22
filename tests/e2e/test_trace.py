"""REALM_TRACE: a file of spans for every step, and tools/trace_view.py makes a page of it."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

REALM = os.environ["REALM"]
TESTS = Path(os.environ["REALM_TEST_DATA"])
MODEL = os.environ["REALM_MODEL_SMOLLM2"]
N_TOKENS = 5


def spans_of(trace):
    """{thread's name: [(span's name, start, end)]}"""
    events = json.loads(trace.read_text())
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    spans = {}
    for event in events:
        if event["ph"] == "X":
            spans.setdefault(names[event["tid"]], []).append(
                (event["name"], event["ts"], event["ts"] + event["dur"]))
    return spans


def wait_until(condition, server):
    deadline = time.monotonic() + 60
    while not condition():
        assert server.poll() is None, "the server ended early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def complete(folder):
    url = "http://127.0.0.1:" + (folder / "port").read_text().strip()
    request = urllib.request.Request(
        url + "/v1/completions",
        json.dumps({"model": "m", "prompt": "One two", "max_tokens": N_TOKENS, "ignore_eos": True}).encode(),
        {"Authorization": "Bearer secret-of-the-trace-test", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert json.load(response)["usage"]["completion_tokens"] == N_TOKENS


def serve_once(folder, trace):
    server = subprocess.Popen(
        [REALM, "serve", "--model", f"m={MODEL}", "--port", "0", "--port-file", folder / "port",
         "--data", folder / "data", "--allow-root"],
        env={**os.environ, "REALM_TRACE": str(trace), "REALM_API_KEY": "secret-of-the-trace-test"})
    try:
        wait_until((folder / "port").exists, server)
        wait_until(lambda: (folder / "port").read_text().strip() != "", server)
        complete(folder)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.wait()


def test_a_served_request_leaves_the_spans_of_its_steps(tmp_path):
    trace = tmp_path / "spans.json"
    serve_once(tmp_path, trace)
    spans = spans_of(trace)
    steps = [span for span in spans["realm-engine"] if span[0] == "step"]
    assert len(steps) == N_TOKENS
    for _, start, end in steps:
        inside = {name for name, first, last in spans["realm-engine"] if start <= first and last <= end}
        assert inside == {"step", "pick", "forward", "sample"}
    assert "prepare" in {name for name, _, _ in spans["realm-prepare"]}

    page = subprocess.run([TESTS.parent / "tools/trace_view.py", trace],
                          capture_output=True, text=True, check=True).stdout.strip()
    assert page == str(tmp_path / "spans.html")
    assert f"<td>realm-engine: forward</td><td>{N_TOKENS}</td>" in Path(page).read_text()


def test_bench_traces_its_steps_and_nothing_is_written_without_being_asked(tmp_path):
    trace = tmp_path / "spans.json"
    bench = [REALM, "bench", "-m", TESTS / "golden/models/llama_tied.gguf", "--prefill", "16",
             "--decode", "8", "--batch", "1", "--reps", "1", "--json"]
    quiet = {name: value for name, value in os.environ.items() if name != "REALM_TRACE"}
    subprocess.run(bench, cwd=tmp_path, env=quiet, check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert list(tmp_path.iterdir()) == []
    subprocess.run(bench, env={**quiet, "REALM_TRACE": str(trace)}, check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    assert [name for name, _, _ in spans_of(trace)["realm"]].count("step") >= 9


def test_a_trace_that_cannot_be_written_is_an_error(tmp_path):
    bench = subprocess.run(
        [REALM, "bench", "-m", TESTS / "golden/models/llama_tied.gguf", "--prefill", "16",
         "--decode", "0", "--reps", "1"],
        env={**os.environ, "REALM_TRACE": str(tmp_path / "missing" / "spans.json")},
        capture_output=True, text=True, timeout=60)
    assert bench.returncode != 0
    assert "spans.json" in bench.stderr
