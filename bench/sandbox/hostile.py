#!/usr/bin/env python3
"""What tenants notice of another tenant's hostile programs: times between the tokens of their streams, quiet and beside
each kind of hostile guest (tests/support/hostile.py) and all kinds at once.

One server; the kinds take turns, round after round, each between two quiet times, and each is told as the median over
the rounds of what its times are to those of the quiet ones around it.  Two kinds are no attacks: "nothing" moves what the
measurement moves by itself, "harmless" what so many requests for a program that says a word do.  Every run is looked at: it
must end as its kind should.

  bench/sandbox/hostile.py
  bench/sandbox/hostile.py --kinds nothing,spin,storm --rounds 3 --tokens 64
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import selectors
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("REALM_TEST_DATA", str(ROOT / "tests"))
for folder in "bench/server", "bench/peer", "bench/sandbox", "tests/support":
    sys.path.insert(0, str(ROOT / folder))
try:
    import hostile  # noqa: E402
except ModuleNotFoundError:  # the libraries of the tests
    VENV = subprocess.run([ROOT / "tools/venv.sh"], check=True, capture_output=True, text=True).stdout.split()[-1]
    os.execv(f"{VENV}/bin/python", [f"{VENV}/bin/python", *sys.argv])
import load  # noqa: E402
import programs  # noqa: E402
import throughput  # noqa: E402

HARMLESS = "harmless"


class Stream(load.Stream):
    """Knows when each token came."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.times = []

    def read(self):
        done = super().read()
        now = time.monotonic()
        self.times += [now] * (self.n - len(self.times))
        return done


@contextlib.contextmanager
def at_once():
    """This thread runs as soon as it has something to read, as a client with cores of its own would."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        print("without the right to SCHED_FIFO the client's own waiting is in the times", file=sys.stderr)
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def intervals(port, keys, options):
    """Milliseconds between tokens of streams that run at once, one for each key."""
    streams = [Stream(port, load.prompt_of(index, 32), options.tokens, key) for index, key in enumerate(keys)]
    selector = selectors.DefaultSelector()
    for stream in streams:
        selector.register(stream, selectors.EVENT_READ)
    with at_once():
        while selector.get_map():
            for entry, _ in selector.select():
                if entry.fileobj.read():
                    selector.unregister(entry.fileobj)
                    entry.fileobj.close()
    if any(len(stream.times) < options.tokens for stream in streams):
        raise SystemExit("a stream was cut")
    return [1000 * (b - a) for stream in streams for a, b in zip(stream.times, stream.times[1:])]


def keep_attacking(attacker, kind, rate, stop, counts, errors):
    """Attacks one after the other; those that end at once start no more often than the rate."""
    while not stop.is_set():
        begin = time.monotonic()
        try:
            attacker.attack(kind)
        except Exception as error:  # noqa: BLE001
            errors.append(f"{kind}: {error!r}")
            return
        counts.append(kind)
        stop.wait(max(0, 1 / rate - (time.monotonic() - begin)))


def attack(attacker, kinds, rate, stop, told):
    """All kinds at once until `stop`; tells how many attacks there were of each, or an error.  A process of its own that
    runs when nobody else does, for it stands for clients that are elsewhere."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    counts, errors = [], []
    threads = [threading.Thread(target=keep_attacking, args=(attacker, kind, rate, stop, counts, errors)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put((errors, {kind: counts.count(kind) for kind in kinds}))


def beside(attacker, kinds, measure, options, counts):
    """What measure returns while the kinds attack."""
    if not kinds:
        return measure()
    stop, told = multiprocessing.Event(), multiprocessing.Queue()
    attackers = kinds * options.attackers if len(kinds) == 1 else kinds
    process = multiprocessing.Process(target=attack, args=(attacker, attackers, options.rate, stop, told))
    process.start()
    time.sleep(0.3)
    result = measure()
    stop.set()
    errors, n = told.get(timeout=120)
    process.join()
    if errors:
        raise SystemExit(errors[0])
    for kind in n:
        counts[kind] = counts.get(kind, 0) + n[kind]
    return result


def parts(values):
    return statistics.median(values), load.percentile(values, 0.99)


def measure_all(options, server, attacker, keys):
    """{kind: [(p50, p99, p50 to quiet, p99 to quiet)]}, of each round, and how many attacks there were."""
    rows, counts = {kind: [] for kind in options.kinds}, {}

    def measure():
        return parts(intervals(server.port, keys, options))

    measure()
    for _ in range(options.rounds):
        before = measure()
        for kind in options.kinds:
            kinds = {"nothing": [], "all": hostile.KINDS}.get(kind, [kind])
            p50, p99 = beside(attacker, kinds, measure, options, counts)
            after = measure()
            rows[kind].append((p50, p99, 2 * p50 / (before[0] + after[0]), 2 * p99 / (before[1] + after[1])))
            print(f"{kind}: {p50:.2f} and {p99:.2f} ms, quiet {before[0]:.2f} and {before[1]:.2f}", file=sys.stderr,
                  flush=True)
            before = after
    return rows, counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--model", type=pathlib.Path, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tenants", type=int, default=2, help="that stream")
    parser.add_argument("--attackers", type=int, default=2, help="runs of one kind at once; of all kinds: one each")
    parser.add_argument("--rate", type=float, default=10, help="runs a second that one attacker starts at most")
    parser.add_argument("--tokens", type=int, default=512, help="of a stream")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(["nothing", HARMLESS, *hostile.KINDS, "all"]))
    options = parser.parse_args()
    options.kinds = options.kinds.split(",")
    if options.model is None:
        fetched = subprocess.run([ROOT / "tools/fetch_model.sh", "smollm2"], check=True, capture_output=True, text=True)
        options.model = fetched.stdout.split()[-1]
    with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "log", "wb") as log:
        server = load.start_realm(options, log, folder)
        try:
            keys = [throughput.tenant_with_programs(options, folder, server.port, f"good{i}", {})
                    for i in range(options.tenants)]
            evil = throughput.tenant_with_programs(options, folder, server.port, "evil", {})
            attacker = hostile.Attacker(f"http://127.0.0.1:{server.port}", evil)
            attacker.push_all()
            hostile.ENDS[HARMLESS] = hostile.End(None)
            attacker.push(HARMLESS, programs.speaker(text="hello"))
            rows, counts = measure_all(options, server, attacker, keys)
        finally:
            server.close()
    print("kind             runs   p50 ms   p99 ms  p50 ratio  p99 ratio   p99 ratios of the rounds")
    for kind, values in rows.items():
        p50, p99, slower, late = (statistics.median(column) for column in zip(*values))
        lates = sorted(row[3] for row in values)
        print(f"{kind:14} {counts.get(kind, 0):6} {p50:8.2f} {p99:8.2f} {slower:10.3f} {late:10.3f}   "
              f"{lates[0]:.2f} to {lates[-1]:.2f}")


if __name__ == "__main__":
    main()
