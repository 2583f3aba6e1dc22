"""What a running server takes: memory of 16 full sequences, processor time while nobody asks."""

import json
import os
import re
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from realm_server import KEY, SMOLLM2, RealmServer, tokens_of, wait_until  # noqa: E402

N_SEQUENCES, N_TOKENS = 16, 1024
# Of these 97 MB are weights, and 200 MB keys and values of 8 bits, 159 with values of 4.
MOST_RESIDENT_BYTES = {"q8_0": 350_000_000, "q8_0_q4_1": 310_000_000}


@pytest.fixture(scope="module", params=MOST_RESIDENT_BYTES)
def server(request, tmp_path_factory):
    """KV memory for exactly the sequences."""
    running = RealmServer(
        tmp_path_factory.mktemp("footprint"),
        *("--ctx", str(N_TOKENS), "--kv-type", request.param, "--no-prefix-cache"),
    )
    running.most_resident_bytes = MOST_RESIDENT_BYTES[request.param]
    yield running
    assert running.stop() == 0


def complete(server, prompt, n_tokens):
    body = {
        "model": "smollm2",
        "prompt": prompt,
        "max_tokens": n_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = urllib.request.Request(
        server.url + "/v1/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + KEY, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        chunks = [line for line in answer.read().split(b"\n") if line.startswith(b"data: {")]
    return json.loads(chunks[-1][6:])["usage"]


def processor_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_bytes(server, name):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024


def resident_of(server, path):
    """Bytes of a mapped file."""
    maps = Path(f"/proc/{server.process.pid}/smaps").read_text()
    sizes = re.findall(rf"{re.escape(os.path.realpath(path))}\n(?:.*\n)*?Rss:\s+(\d+) kB", maps)
    assert sizes, f"{path} is not mapped"
    return sum(map(int, sizes)) * 1024


def test_the_files_pages_are_given_back_after_loading(server):
    mapped = status_bytes(server, "RssFile")
    assert mapped < os.path.getsize(SMOLLM2) / 2, f"{mapped} bytes of files are resident"
    assert resident_of(server, SMOLLM2) == 0, "metadata of the model is still mapped in"


def test_sixteen_full_sequences_stay_within_a_bound(server):
    ids = tokens_of("The quick brown fox jumps over the lazy dog and goes home. " * 60)
    n_prompt = N_TOKENS // 2
    prompts = [[first, *ids[1:n_prompt]] for first in ids[:N_SEQUENCES]]
    assert all(len(prompt) == n_prompt for prompt in prompts)
    most_pages = 0
    with ThreadPoolExecutor(N_SEQUENCES) as pool:
        running = [pool.submit(complete, server, p, N_TOKENS - n_prompt) for p in prompts]
        while not all(one.done() for one in running):
            most_pages = max(most_pages, server.metric("realm_kv_pages_used"))
            time.sleep(0.2)
    assert all(one.result()["total_tokens"] == N_TOKENS for one in running)
    assert most_pages > 0.8 * server.metric("realm_kv_pages"), "they did not run together"
    most = status_bytes(server, "VmHWM")
    assert most < server.most_resident_bytes, f"{most / 1e6:.0f} MB were resident"


def test_an_idle_server_takes_next_to_no_processor_time(server):
    complete(server, "Once upon a time", 8)
    wait_until(lambda: server.metric("realm_sequences_running") == 0, what="an idle server")
    before = processor_seconds(server)
    time.sleep(1)
    spent = processor_seconds(server) - before
    assert spent < 0.1, f"{spent:.2f} s of processor time in a second of nothing"
