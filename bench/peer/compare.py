#!/usr/bin/env python3
"""Measures Realm and llama.cpp in turn on the same files and threads, and writes docs/benchmarks.md.

Each round runs every test of both programs once, one after the other; the table has medians over the rounds.
Nothing else should run on the machine.

  bench/peer/compare.py                     both models, 5 rounds: the page, its plot, bench/results/<machine>.csv
  bench/peer/compare.py --types             the same, and both models quantised to every type, 3 rounds
  bench/peer/compare.py --quick             one short round, printed only

llama.cpp is built from its PyPI source package for this processor and kept in the cache folder (REALM_CACHE_DIR).
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

import llama_cpp
import plot

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE, PICTURE = ROOT / "docs/benchmarks.md", ROOT / "docs/benchmarks.svg"
# As `realm quantize --pure` calls them; where a row is no multiple of 256 it takes the usual fallback.
TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K_S", "Q3_K_S", "Q4_K_S", "Q5_K_S", "Q6_K", "Q8_K")
OURS_ALONE = ("Q8_1", "Q8_K")  # llama.cpp has these types for activations only
N_SEQUENCES, DEPTH = 16, 16


def models():
    return {name: pathlib.Path(subprocess.run([ROOT / "tools/fetch_model.sh", name], check=True, text=True,
                                              stdout=subprocess.PIPE).stdout.split()[-1])
            for name in ("smollm2", "gemma3")}


class Realm:
    name = "Realm"

    def __init__(self, options):
        self.program, self.options = options.realm, options
        self.limits = []

    def bench(self, model, *arguments):
        command = [self.program, "bench", "-m", model, "--threads", str(self.options.threads), "--reps", "1", "--json",
                   *map(str, arguments)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [json.loads(line) for line in text.splitlines()]

    def measure(self, model):
        o = self.options
        alone = self.bench(model, "--prefill", o.prefill, "--decode", o.decode, "--batch", 1)
        together = self.bench(model, "--prefill", 0, "--decode", o.decode, "--batch", N_SEQUENCES, "--depth", DEPTH)
        rows = {"prefill": alone[0], "decode 1": alone[1], "decode 16": together[0]}
        self.limits.append({test: row["roofline"] for test, row in rows.items()})
        return {test: row["tok_s"] for test, row in rows.items()}


class Peer:
    name = "llama.cpp"

    def __init__(self, options):
        self.folder, self.options = options.peer_bin or llama_cpp.build(), options

    def measure(self, model):
        o = self.options
        prefill, decode = llama_cpp.prefill_and_decode(self.folder, model, o.threads, o.prefill, o.decode)
        together = llama_cpp.decode_together(self.folder, model, o.threads, N_SEQUENCES, o.decode, DEPTH)
        return {"prefill": prefill, "decode 1": decode, "decode 16": together}


def measure_rounds(programs, files, n_rounds):
    """{(model, test, program): [tokens a second of each round]}, and Realm's parts of the roofline."""
    samples, parts = {}, {}
    for r in range(n_rounds):
        for label, path in files.items():
            for program in programs if r % 2 == 0 else programs[::-1]:
                if program.name != "Realm" and label.split()[-1] in OURS_ALONE:
                    continue
                print(f"round {r + 1}/{n_rounds}: {label}, {program.name}", file=sys.stderr, flush=True)
                for test, value in program.measure(path).items():
                    samples.setdefault((label, test, program.name), []).append(value)
                if program.name == "Realm":
                    for test, value in program.limits[-1].items():
                        parts.setdefault((label, test), []).append(value)
    return samples, parts


def quantise_all(options, files):
    """Every model in every type, in the cache folder."""
    folder = llama_cpp.cache_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    out = {}
    for name, path in files.items():
        for kind in TYPES:
            target = folder / f"{path.stem}.{kind}.gguf"
            if not target.exists():
                subprocess.run([options.realm, "quantize", path, target, kind, "--allow-requantize", "--pure"], check=True,
                               stdout=sys.stderr)
            out[f"{name} {kind}"] = target
    return out


def table(samples, parts):
    lines = ["| model | test | Realm, tok/s | llama.cpp, tok/s | ratio | Realm: part of the limit |",
             "|---|---|---:|---:|---:|---:|"]
    for label, test in dict.fromkeys((label, test) for label, test, _ in samples):
        ours = samples[label, test, "Realm"]
        theirs = samples.get((label, test, "llama.cpp"))
        mine = statistics.median(ours)
        other = statistics.median(theirs) if theirs else None
        lines.append(f"| {label} | {test} | {mine:.0f} ({min(ours):.0f}-{max(ours):.0f}) | "
                     + (f"{other:.0f} ({min(theirs):.0f}-{max(theirs):.0f}) | {mine / other:.2f} | " if theirs else "- | - | ")
                     + f"{statistics.median(parts[label, test]) * 100:.0f} % |")
    return lines


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*:\s*(.*)$", info, re.M)
    family = re.search(r"^cpu family\s*:\s*(.*)$", info, re.M)
    model = re.search(r"^model\s*:\s*(.*)$", info, re.M)
    flags = set(re.search(r"^flags\s*:\s*(.*)$", info, re.M).group(1).split()) if "flags" in info else set()
    wanted = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm") if f in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{name.group(1) if name else platform.machine()} (family {family.group(1)}, model {model.group(1)}), "
            f"{os.cpu_count()} cores, {' '.join(wanted)}, {memory:.0f} GiB")


def limits_of(options, path):
    """The line with which `realm bench` says what it measured of the machine."""
    text = subprocess.run([options.realm, "bench", "-m", path, "--prefill", "16", "--decode", "0", "--threads",
                           str(options.threads), "--reps", "1"], check=True, capture_output=True, text=True)
    return next(line for line in (text.stdout + text.stderr).splitlines() if line.startswith("limits"))


def write_page(options, lines, samples):
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    text = PAGE.read_text()
    head, rest = text.split(begin)
    PAGE.write_text("\n".join([head + begin, *lines, end + rest.split(end)[1]]))
    bars = {}
    for (label, test, program), values in samples.items():
        if " " not in label:
            bars.setdefault(f"{label}, {test}", {})[program] = statistics.median(values)
    PICTURE.write_text(plot.bars(bars, "tokens per second, medians"))
    name = re.sub(r"[^a-z0-9]+", "-", machine().split(",")[0].lower()).strip("-")
    target = ROOT / "bench/results" / f"{name}.csv"
    target.parent.mkdir(exist_ok=True)
    with open(target, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "test", "program", "round", "tok_s"])
        for (label, test, program), values in samples.items():
            writer.writerows([label, test, program, i + 1, f"{v:.2f}"] for i, v in enumerate(values))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--peer-bin", type=pathlib.Path, help="folder with llama.cpp's tools, instead of building them")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    parser.add_argument("--types", action="store_true", help="both models in every type as well")
    parser.add_argument("--quick", action="store_true", help="one round of few tokens, printed only")
    parser.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.prefill, options.decode, options.dry_run = 1, 64, 8, True
    return options


def main():
    options = parse_arguments()
    files = models()
    programs = [Realm(options), Peer(options)]
    samples, parts = measure_rounds(programs, files, options.rounds)
    version = subprocess.run([options.realm, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    lines = ["", f"Machine: {machine()}; {options.threads} threads. {limits_of(options, files['smollm2'])}.  ",
             f"{datetime.date.today()}, {version}, llama.cpp from {llama_cpp.PACKAGE}, built natively; medians of "
             f"{options.rounds} rounds (least-most).  ",
             f"Command: `bench/peer/compare.py --rounds {options.rounds}" + (" --types`" if options.types else "`"), "",
             *table(samples, parts), "",
             "![The same as bars](benchmarks.svg)", ""]
    if options.types:
        typed, typed_parts = measure_rounds(programs, quantise_all(options, files), min(3, options.rounds))
        lines += ["## Every type", "", *table(typed, typed_parts), ""]
        samples |= typed
    print("\n".join(lines))
    if not options.dry_run:
        write_page(options, lines, samples)


if __name__ == "__main__":
    main()
