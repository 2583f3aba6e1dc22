#!/usr/bin/env python3
"""What a busy neighbour costs: `realm bench` alone, and while a process spins on one core.

Rounds of both in turn; prints medians and the part lost.  With n threads on n cores, a fair neighbour takes half of one
core, which is 1/(2n) of the machine: more than that is lost by waiting.

  bench/kernels/busy_core.py MODEL [--threads N] [--rounds 5] [--nice 0]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def measure(options):
    """{test: tokens a second}"""
    text = subprocess.run(
        [options.realm, "bench", "-m", options.model, "--prefill", str(options.prefill), "--decode", str(options.decode),
         "--batch", "1", "--threads", str(options.threads), "--reps", "3", "--json"],
        check=True, capture_output=True, text=True).stdout
    return {row["test"]: row["tok_s"] for row in map(json.loads, text.splitlines())}


class Neighbour:
    """Spins on the last core that this process may use."""

    def __init__(self, nice):
        self.nice = nice

    def __enter__(self):
        core = max(os.sched_getaffinity(0))
        self.process = subprocess.Popen(
            [sys.executable, "-c",
             f"import os\nos.sched_setaffinity(0, {{{core}}})\nos.nice({self.nice})\nwhile True: pass"])

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--nice", type=int, default=0, help="of the neighbour (0)")
    options = parser.parse_args()
    alone, beside = [], []
    for i in range(options.rounds):
        print(f"round {i + 1}/{options.rounds}", file=sys.stderr, flush=True)
        alone.append(measure(options))
        with Neighbour(options.nice):
            beside.append(measure(options))
    print("| test | alone, tok/s | with a busy core | lost |\n|---|---:|---:|---:|")
    for test in alone[0]:
        before = statistics.median(sample[test] for sample in alone)
        after = statistics.median(sample[test] for sample in beside)
        print(f"| {test} | {before:.1f} | {after:.1f} | {(1 - after / before) * 100:.0f} % |")
    print(f"\n{options.threads} threads; a fair neighbour's share of the machine: {50 / options.threads:.0f} %")


if __name__ == "__main__":
    main()
