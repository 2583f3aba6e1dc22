#!/usr/bin/env python3
"""What a server keeps in memory: fills 16 sequences of 1,024 tokens, all different, and prints its resident memory for each
type of KV cache, with the part that is of no file, as Markdown; beside llama.cpp's server where that has been built
(bench/peer/compare.py builds it).

  bench/server/resident.py
  bench/server/resident.py --kv-types q8_0_q4_1 --no-peer --maps
"""

import argparse
import collections
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "server"))
import load  # noqa: E402

N_SEQUENCES, N_TOKENS, N_ANSWER = 16, 1024, 512
COLUMNS = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
# Of llama.cpp's server: the types that take as many bits.
PEER_TYPES = {"f16": ("f16", "f16"), "q8_0": ("q8_0", "q8_0"), "q8_0_q4_1": ("q8_0", "q4_1")}


def fill(server):
    """One request for each sequence, all at once; they fill what the server has room for."""
    prompts = [iter([load.prompt_of(i, N_TOKENS - N_ANSWER)]) for i in range(N_SEQUENCES)]
    answers, errors, _ = load.run_clients(server.port, prompts, N_ANSWER)
    if errors or len(answers) != N_SEQUENCES:
        raise SystemExit(f"{len(answers)} of {N_SEQUENCES} were answered: {errors[:1]}")


def resident(server):
    """{name: MB}"""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return {name: int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024e-6 for name in COLUMNS}


def print_maps(server):
    """Resident kB of each file and of nameless memory, the largest first."""
    sums = collections.Counter()
    for line in pathlib.Path(f"/proc/{server.process.pid}/smaps").read_text().splitlines():
        fields = line.split()
        if re.match(r"[0-9a-f]+-[0-9a-f]+$", fields[0]):
            size = (int(fields[0].split("-")[1], 16) - int(fields[0].split("-")[0], 16)) >> 10
            name = " ".join(fields[5:]) or f"nameless, {size} kB"
        elif fields[0] == "Rss:":
            sums[name] += int(fields[1])
    for name, kilobytes in sums.most_common(25):
        print(f"{kilobytes:8} kB  {name}")


def measure(server, options):
    try:
        fill(server)
        if options.maps:
            print_maps(server)
        return resident(server)
    finally:
        server.close()


def peer_folder():
    """Where llama.cpp has been built; None: it has not, which takes too long to do here."""
    built = sorted(load.llama_cpp.cache_folder().glob("llama.cpp-*"))
    return built[-1] if built else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path,
                        default=load.llama_cpp.cache_folder() / "models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv-types", default="f16,q8_0,q8_0_q4_1")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--maps", action="store_true", help="what the memory is of, before each row")
    options = parser.parse_args()
    options.peer = None if options.no_peer else peer_folder()
    print("| server | KV | most, MB | at the end | of no file | of files |\n|---|---|---:|---:|---:|---:|")
    for kv_type in options.kv_types.split(","):
        with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "log", "wb") as log:
            extra = ("--kv-type", kv_type, "--no-prefix-cache")
            rows = [("Realm", measure(load.start_realm(options, log, folder, extra), options))]
            if options.peer and kv_type in PEER_TYPES:
                keys, values = PEER_TYPES[kv_type]
                extra = ("-ctk", keys, "-ctv", values, "-fa", "on", "--no-cache-prompt")
                rows.append(("llama.cpp", measure(load.start_peer(options, log, folder, extra), options)))
        for name, row in rows:
            print(f"| {name} | {kv_type} | " + " | ".join(f"{row[c]:.0f}" for c in COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
