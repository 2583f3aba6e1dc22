#!/usr/bin/env python3
"""Puts the loads of many clients on Realm and, for comparison, on llama.cpp's server.

Each program serves the same model with the same threads and memory, by turns, in several rounds; each load runs on a
fresh server, and a table of medians of generated tokens a second and times to the first token is printed as Markdown.

  distinct   16 clients, prompts of 100 tokens, answers of 48
  shared     16 clients whose prompts share their first 300 tokens, answers of 48
  crowd      as many requests from 64 clients, on the memory of 16, as from 16 (Realm only)
  burst      as many requests of each of 64 clients as of each of 16, four times as many in all (Realm only)
  flood      a tenant with 1 client alone, beside a tenant with 64, and in one queue with them (Realm only)
  cancels    requests that their clients leave at random moments; then pages and descriptors are counted (Realm only)

What crowd, burst and flood compare they run in short turns on one server, in pairs whose order alternates, for a
machine's speed may move by a fifth from minute to minute: each tells both sides over all turns and the ratio of the
median pair.

  bench/server/load.py --rounds 3
  bench/server/load.py --loads crowd,flood --requests 1 --pairs 8 --no-peer
  bench/server/load.py --loads distinct --clients 4 --requests 1 --no-peer
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import pathlib
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peer"))
import llama_cpp  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "a-key-of-the-benchmark"
N_VOCABULARY = 49152  # SmolLM2's


class Server:
    """A running server; ends with close."""

    def __init__(self, command, ready, log, environment=None):
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(environment or {})})
        self.port = None
        deadline = time.monotonic() + 120
        while self.port is None or not self.answers("/health"):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.process.kill()
                raise SystemExit(f"{command[0]} did not start")
            self.port = self.port or ready()
            time.sleep(0.05)

    def answers(self, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False

    def metrics(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", "/metrics", headers={"authorization": f"Bearer {KEY}"})
        lines = connection.getresponse().read().decode().splitlines()
        return {line.split("{")[0].split()[0]: float(line.split()[-1]) for line in lines if line and line[0] != "#"}

    def n_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self):
        self.process.terminate()
        self.process.wait(60)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_realm(options, log, folder, extra=()):
    port_file = pathlib.Path(folder) / "port"
    command = [options.realm, "serve", "--model", f"bench={options.model}", "--port", "0", "--port-file", port_file,
               "--threads", str(options.threads), "--ctx", "1024", "--data", folder, "--allow-root", *extra]
    return Server([str(c) for c in command],
                  lambda: int(port_file.read_text()) if port_file.exists() and port_file.read_text() else None,
                  log, {"REALM_API_KEY": KEY})


def start_peer(options, log, folder, extra=()):
    port = free_port()
    command = [options.peer / "llama-server", "-m", options.model, "-t", options.threads, "-np", 16, "-c", 16384,
               "--port", port, "--no-webui", *extra]
    return Server([str(c) for c in command], lambda: port, log)


class Stream:
    """One streamed completion over a socket that never blocks.  It looks for the marks of events only: what a client
    costs is taken from the server that is measured, on the same cores."""

    def __init__(self, port, prompt, n_tokens, key=KEY, leave_after=None):
        body = json.dumps({"model": "bench", "prompt": prompt, "max_tokens": n_tokens, "stream": True, "temperature": 0,
                           "ignore_eos": True}).encode()
        head = (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n")
        self.leave_after, self.n, self.first, self.rest = leave_after, 0, None, b""
        self.begin = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(head.encode() + body)
        self.head_seen = False

    def fileno(self):
        return self.socket.fileno()

    def read(self):
        """Takes what came; true: the answer is over.  Raises RuntimeError for any other answer than a stream."""
        data = self.socket.recv(65536)
        text = self.rest + data
        if not self.head_seen:
            if len(text) < 12 and data:
                self.rest = text
                return False
            if not text.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"not answered: {text[:200]!r}")
            self.head_seen = True
        n = text.count(b"data: {")
        if n > 0 and self.first is None:
            self.first = time.monotonic() - self.begin
        self.n += n
        done = b"data: [DONE]" in text
        if not data and not done:
            raise RuntimeError("the answer was cut")
        # A mark that is cut in two is found whole the next time; one that was counted is not kept.
        line = text[text.rfind(b"\n") + 1:]
        self.rest = line if len(line) < 12 and not line.startswith(b"data: {") else b""
        return done or (self.leave_after is not None and self.n >= self.leave_after)

    def close(self):
        self.socket.close()
        return self.first, time.monotonic() - self.begin, self.n


def complete(port, prompt, n_tokens, leave_after=None, key=KEY):
    """Streams one completion: time to the first token, time to the end, chunks."""
    stream = Stream(port, prompt, n_tokens, key, leave_after)
    try:
        while not stream.read():
            pass
    finally:
        answer = stream.close()
    return answer


def prompt_of(seed, n_tokens):
    source = random.Random(seed)
    return [source.randrange(1000, N_VOCABULARY) for _ in range(n_tokens)]


def run_clients(port, prompts, n_tokens, key=KEY, stop=None):
    """One client for each iterable of prompts, which it sends one after the other, all in this thread; all answers,
    errors, and the wall time.  stop: ends it early."""
    answers, errors = [], []
    selector = selectors.DefaultSelector()
    begin = time.monotonic()

    def ask(own):
        prompt = next(own, None)
        if prompt is not None and not (stop and stop.is_set()):
            selector.register(Stream(port, prompt, n_tokens, key), selectors.EVENT_READ, own)

    for own in prompts:
        ask(iter(own))
    while selector.get_map():
        for entry, _ in selector.select():
            stream = entry.fileobj
            try:
                if not stream.read():
                    continue
                selector.unregister(stream)
                answers.append(stream.close())
            except (OSError, RuntimeError) as error:
                errors.append(str(error))
                selector.unregister(stream)
                stream.close()
            ask(entry.data)
    return answers, errors, time.monotonic() - begin


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def summary(answers, errors, wall, n_tokens):
    first = sorted(a[0] for a in answers if a[0] is not None)
    return {"tok/s": len(answers) * n_tokens / wall, "TTFT p50": statistics.median(first) if first else float("nan"),
            "TTFT p99": percentile(first, 0.99) if first else float("nan"),
            "errors": len(errors)}


def distinct_prompts(n_clients, n_requests, first_seed=0):
    return [[prompt_of(first_seed + c * 1000 + r, 100) for r in range(n_requests)] for c in range(n_clients)]


def distinct(options, server, n_clients):
    prompts = distinct_prompts(n_clients, options.requests)
    return summary(*run_clients(server.port, prompts, options.tokens), options.tokens)


def shared(options, server, n_clients):
    common = prompt_of(1, 300)
    prompts = [[common + prompt_of(7 + c * 1000 + r, 20) for r in range(options.requests)] for c in range(n_clients)]
    return summary(*run_clients(server.port, prompts, options.tokens), options.tokens)


def by_turns(n_pairs, kinds):
    """Runs two kinds of turns in pairs, the first kind first in every other pair; what each gave, in the order of
    the pairs."""
    rows = [[], []]
    for pair in range(n_pairs):
        for which in ((0, 1) if pair % 2 == 0 else (1, 0)):
            rows[which].append(kinds[which](2 * pair + which))
    return rows


def pooled_rate(rows):
    return sum(row["tokens"] for row in rows) / sum(row["wall"] for row in rows)


def ratios(rows, others):
    """Of the rates over all turns, and of the rates of each pair."""
    pairs = [pooled_rate([row]) / pooled_rate([other]) for row, other in zip(rows, others, strict=True)]
    return {"pooled ratio": pooled_rate(rows) / pooled_rate(others), "median ratio": statistics.median(pairs),
            "least ratio": min(pairs), "most ratio": max(pairs)}


def check_nothing_found(server):
    """Ends the run where a load whose prompts are to differ was spared some of them."""
    n_found = server.metrics()["realm_prompt_tokens_cached_total"]
    if n_found > 0:
        raise SystemExit(f"{n_found:.0f} prompt tokens were found in the prefix cache: the load's prompts must differ")


def crowd(options, server, n_requests_of_few):
    """Few clients and four times as many, by turns; no prompt comes twice."""
    def turn(n_clients, n_requests):
        def run(number):
            prompts = distinct_prompts(n_clients, n_requests, (1 + number) * 1000000)
            answers, errors, wall = run_clients(server.port, prompts, options.tokens)
            return {"tokens": len(answers) * options.tokens, "wall": wall, "errors": len(errors)}
        return run

    few, many = by_turns(options.pairs, (turn(options.clients, n_requests_of_few),
                                         turn(4 * options.clients, options.requests)))
    check_nothing_found(server)
    return {f"tok/s of {4 * options.clients}": pooled_rate(many), f"tok/s of {options.clients}": pooled_rate(few),
            **ratios(many, few), "errors": sum(row["errors"] for row in few + many)}


def cancels(options, server):
    """Most requests are left in the middle; afterwards nothing may be held."""
    before = server.n_descriptors()
    source, lock = random.Random(5), threading.Lock()
    left = [options.cancels]

    def client(number):
        while True:
            with lock:
                if left[0] == 0:
                    return
                left[0] -= 1
                length, after = source.randrange(1, 60), source.randrange(1, 6)
            complete(server.port, prompt_of(number + left[0], length), 40, leave_after=after)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        now = server.metrics()
        if now["realm_kv_pages_used"] == 0 and server.n_descriptors() <= before + 1:
            break
        time.sleep(0.1)
    return {"cancelled": now["realm_requests_cancelled_total"], "pages in use": now["realm_kv_pages_used"],
            "descriptors more": server.n_descriptors() - before - 1}


def tenant_key(options, folder, name):
    for command in (["tenant", "create", name], ["key", "create", "--tenant", name]):
        done = subprocess.run([options.realm, *command, "--data", folder], check=True, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    return done.stdout.strip()


def press(port, key, n_clients, n_tokens, stop):
    """Clients that always have a request under way; a process of its own, so that the client that is measured does not
    wait for this one's interpreter."""
    def prompts_of(number):  # a generator written into the list would see the last number only
        return (prompt_of(number * 1000 + r, 100) for r in itertools.count())

    prompts = [prompts_of(number) for number in range(n_clients)]
    _, errors, _ = run_clients(port, prompts, n_tokens, key, stop)
    if errors:
        raise SystemExit(errors[0])


def flood(options, server, n_clients):
    """A tenant's only client: its times to the first token alone, while another tenant's clients press, and as one
    more client of that tenant, which is first come, first served; and the tokens a second of all meanwhile, those of
    prompts and of answers, since the light client adds more of the former.  The pressing clients go on through all
    turns; a turn's tokens are what the server counts from its begin to its end."""
    keys = {name: tenant_key(options, server.folder, name) for name in ("light", "heavy")}
    seeds = itertools.count(500000)

    def ask(key):
        return complete(server.port, prompt_of(next(seeds), 100), 4, key=key)[0]

    def turn(key):
        def run(_):
            before, begin, times = server.metrics(), time.monotonic(), []
            while time.monotonic() - begin < options.turn_seconds:
                times.append(ask(key))
            after, wall = server.metrics(), time.monotonic() - begin
            grown = {name: after[name] - before[name] for name in after}
            computed = (grown["realm_generation_tokens_total"] + grown["realm_prompt_tokens_total"] -
                        grown["realm_prompt_tokens_cached_total"])
            return {"tokens": computed, "wall": wall, "times": times, "steps": grown["realm_step_seconds_count"],
                    "step_seconds": grown["realm_step_seconds_sum"], "rows": grown["realm_step_tokens_sum"]}
        return run

    def times_of(turns):
        return [seconds for row in turns for seconds in row["times"]]

    def mean_step(turns, what):
        return sum(row[what] for row in turns) / max(1, sum(row["steps"] for row in turns))

    def ask_alone():
        return [ask(keys["light"]) for _ in range(options.light // 2)]

    alone = ask_alone()
    stop = multiprocessing.Event()
    heavy = multiprocessing.Process(target=press, args=(server.port, keys["heavy"], n_clients, options.tokens, stop))
    heavy.start()
    # All begin at once: after two answers each they are in different places of them.
    while heavy.is_alive() and server.metrics()["realm_requests_finished_total"] < len(alone) + 2 * n_clients:
        time.sleep(0.1)
    fair, queue = by_turns(options.pairs, (turn(keys["light"]), turn(keys["heavy"])))
    stop.set()
    heavy.join()
    alone += ask_alone()
    if heavy.exitcode != 0:
        raise SystemExit("the pressing clients failed")
    check_nothing_found(server)
    return {"TTFT alone p99": percentile(alone, 0.99), "beside p50": statistics.median(times_of(fair)),
            "beside p99": percentile(times_of(fair), 0.99), "times": len(times_of(fair)),
            "wanted p99": 2 * percentile(alone, 0.99) + mean_step(fair, "step_seconds"),
            "in one queue p50": statistics.median(times_of(queue)),
            "tok/s": pooled_rate(fair), "tok/s of one queue": pooled_rate(queue),
            **ratios(fair, queue),
            "rows a step": mean_step(fair, "rows"), "of one queue": mean_step(queue, "rows"),
            "ms a step": 1000 * mean_step(fair, "step_seconds"),
            "ms of one queue": 1000 * mean_step(queue, "step_seconds")}


def measure(options, start, load):
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "wb") as log:
        server = start(options, log, folder)
        server.folder = folder
        try:
            complete(server.port, prompt_of(99, 50), 4)  # warm
            return load(server)
        finally:
            server.close()


def medians(rows):
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def show(name, program, row, file=sys.stdout):
    print(f"| {name} | {program} | " + " | ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}"
                                                   for k, v in row.items()) + " |", flush=True, file=file)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--peer", type=pathlib.Path, help="folder with llama-server, instead of building it")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--loads", default="distinct,shared,crowd,burst,flood,cancels")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2, help="of each client, one after the other")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=4, help="of turns that crowd, burst and flood compare in a round")
    parser.add_argument("--light", type=int, default=40, help="questions of the light tenant alone, half of them "
                        "before the flood and half after it")
    parser.add_argument("--turn-seconds", type=float, default=5, help="of each of the flood's turns, at least")
    parser.add_argument("--cancels", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.model is None:
        options.model = subprocess.run([ROOT / "tools/fetch_model.sh", "smollm2"], check=True, text=True,
                                       stdout=subprocess.PIPE).stdout.split()[-1]
    if not options.no_peer and options.peer is None:
        options.peer = llama_cpp.build()
    return options


def main():
    options = parse_arguments()
    loads = {"distinct": lambda s: distinct(options, s, options.clients),
             "shared": lambda s: shared(options, s, options.clients),
             "crowd": lambda s: crowd(options, s, 4 * options.requests),
             "burst": lambda s: crowd(options, s, options.requests),
             "flood": lambda s: flood(options, s, 4 * options.clients),
             "cancels": lambda s: cancels(options, s)}
    programs = {"Realm": start_realm} | ({} if options.no_peer else {"llama.cpp": start_peer})
    samples = {}
    # Round by round over all loads: a machine that is slower for a while is so for each of them.
    for round_number in range(options.rounds):
        for name in options.loads.split(","):
            if name == "cancels" and round_number > 0:
                continue
            for program, start in programs.items():
                if program == "Realm" or name in ("distinct", "shared"):
                    row = measure(options, start, loads[name])
                    samples.setdefault(name, {}).setdefault(program, []).append(row)
                    show(f"{name}, round {round_number + 1}", program, row, sys.stderr)
    for name, rows in samples.items():
        for program in rows:
            show(name, program, medians(rows[program]))
        if len(rows) == 2:
            ours, theirs = medians(rows["Realm"]), medians(rows["llama.cpp"])
            show(name, "ratio", {k: ours[k] / theirs[k] for k in ("tok/s", "TTFT p50")})


if __name__ == "__main__":
    main()
