#!/usr/bin/env python3
"""What a program costs its tenant: tokens a second of 8 tenants at once, asking the model itself, through the plain
chat program (guests/chat-c), and through one that steers every token (bench/sandbox/stepped).

One server; the three take turns, round after round, with the same requests, so that what the machine does beside hits all
alike.  All three must give the same text.  Printed: tokens a second of each, the loss as the median over the rounds of what
a program lost in its round, how many sequences ran in a step, and the processor time a token took in the server's threads,
by their names: it moves less than speeds do, and says who pays.

  bench/sandbox/throughput.py
  bench/sandbox/throughput.py --rounds 1 --tokens 16
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "server"))
sys.path.insert(0, str(ROOT / "bench" / "peer"))
import load  # noqa: E402

WAYS = {"model": "bench", "program": "program:chat", "stepped": "program:stepped"}


def build(folder, out):
    done = subprocess.run(["make", "-C", folder, f"OUT={out}"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return next(out.glob(f"{folder.name}.wasm"))


def tenant_with_programs(options, data, port, name, modules):
    """A new tenant's key; the programs are pushed with it."""
    for command in ["tenant", "create", name], ["key", "create", "--tenant", name, "--scopes", "all"]:
        done = subprocess.run([options.realm, *command, "--data", data], check=True, capture_output=True, text=True)
    key = done.stdout.strip()
    for program, module in modules.items():
        subprocess.run([options.realm, "program", "push", program, module, "--url", f"http://127.0.0.1:{port}",
                        "--key", key], check=True, capture_output=True)
    return key


def ask(port, key, model, question, options):
    """The text of a streamed answer and its completion tokens."""
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0,
            "max_tokens": options.tokens, "messages": [{"role": "user", "content": question}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": "Bearer " + key})
    answer = connection.getresponse()
    lines = answer.read().decode().splitlines()
    connection.close()
    if answer.status != 200:
        raise SystemExit(lines)
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    return text, chunks[-1]["usage"]["completion_tokens"]


def measure(port, keys, model, options):
    """Each tenant asks one question after the other; all texts, and tokens a second of all together."""
    answers = {}

    def tenant(index):
        for request in range(options.requests):
            question = f"Tell a long story about {index * 100 + request} ships."
            answers[index, request] = ask(port, keys[index], model, question, options)

    threads = [threading.Thread(target=tenant, args=(index,)) for index in range(len(keys))]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.monotonic() - begin
    if len(answers) != len(keys) * options.requests:
        raise SystemExit(f"{model}: requests failed")
    return {at: text for at, (text, _) in answers.items()}, sum(n for _, n in answers.values()) / wall


def processor_us(server):
    """Processor time that the server's threads have taken, by their names."""
    taken = collections.Counter()
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        name = (task / "comm").read_text().strip().rstrip("0123456789-")
        taken[name] += int((task / "schedstat").read_text().split()[0]) / 1000
    return taken


def watched(server, ask):
    """What ask returns, the mean number of sequences in a step meanwhile, and what the threads have taken a token."""
    before, taken_before = server.metrics(), processor_us(server)
    result = ask()
    after, taken = server.metrics(), processor_us(server)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    n_tokens = max(1, grown["realm_generation_tokens_total"])
    return (result, grown["realm_step_sequences_sum"] / max(1, grown["realm_step_sequences_count"]),
            {name: (taken[name] - taken_before[name]) / n_tokens for name in taken})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--model", type=pathlib.Path, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tenants", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2, help="of a tenant in a round")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if options.model is None:
        fetched = subprocess.run([ROOT / "tools/fetch_model.sh", "smollm2"], check=True, capture_output=True, text=True)
        options.model = fetched.stdout.split()[-1]
    with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "log", "wb") as log:
        out = pathlib.Path(folder)
        modules = {"chat": build(ROOT / "guests/chat-c", out), "stepped": build(ROOT / "bench/sandbox/stepped", out)}
        server = load.start_realm(options, log, folder)
        try:
            keys = [tenant_with_programs(options, folder, server.port, f"tenant{i}", modules)
                    for i in range(options.tenants)]
            for model in WAYS.values():  # every prompt is in the prefix cache from here on
                expected, _ = measure(server.port, keys, WAYS["model"], options)
                texts, _ = measure(server.port, keys, model, options)
                if texts != expected:
                    raise SystemExit(f"{model} answers otherwise than the model")
            speeds = {way: [] for way in WAYS}
            rows = {way: [] for way in WAYS}
            taken = {way: [] for way in WAYS}
            for number in range(options.rounds):
                order = list(WAYS)[number % 3:] + list(WAYS)[:number % 3]
                for way in order:
                    (_, speed), n, us = watched(
                        server, lambda model=WAYS[way]: measure(server.port, keys, model, options))
                    speeds[way].append(speed)
                    rows[way].append(n)
                    taken[way].append(us)
        finally:
            server.close()
    for way, values in speeds.items():
        losses = [100 * (1 - value / alone) for value, alone in zip(values, speeds["model"])]
        print(f"{way:8} {statistics.median(values):8.1f} tokens/s   loss {statistics.median(losses):5.2f} %   "
              f"(rounds {min(losses):.2f} to {max(losses):.2f} %)   {statistics.median(rows[way]):.2f} sequences a step")
    for way, rounds in taken.items():
        medians = {name: statistics.median(one.get(name, 0) for one in rounds) for name in rounds[-1]}
        shown = [f"{name} {us:.1f}" for name, us in sorted(medians.items(), key=lambda at: -at[1]) if us >= 0.05]
        print(f"{way:8} us a token: {', '.join(shown)}")


if __name__ == "__main__":
    main()
