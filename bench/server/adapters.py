#!/usr/bin/env python3
"""What a LoRA adapter costs the requests that have one: tokens a second of a prompt and of an answer, of one client at a
time, without an adapter and with random ones of given ranks for all attention and FFN matrices, in F16.

One server; the ways take turns, round after round.  Printed: the median of each, what it lost, and the adapter's memory.
Needs numpy and gguf, as the tests do (tools/venv.sh makes an environment that has them).

  "$(tools/venv.sh)"/bin/python bench/server/adapters.py
  "$(tools/venv.sh)"/bin/python bench/server/adapters.py --ranks 8 --rounds 3
"""

import argparse
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "server"))
import load  # noqa: E402

ROLES = ("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
N_PROMPT, N_ANSWER = 450, 128


def write_adapter(path, model, rank):
    reader = gguf.GGUFReader(model)
    field = reader.fields["general.architecture"]
    writer = gguf.GGUFWriter(path, bytes(field.parts[field.data[0]]).decode())
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))
    random = np.random.default_rng(1)
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        if len(parts) == 4 and parts[2] in ROLES and parts[3] == "weight":
            columns, rows = int(tensor.shape[0]), int(tensor.shape[1])
            a = random.standard_normal((rank, columns)) * columns ** -0.5
            writer.add_tensor(tensor.name + ".lora_a", a.astype(np.float16))
            writer.add_tensor(tensor.name + ".lora_b", (random.standard_normal((rows, rank)) * 0.01).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def call(port, method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, body, {"Authorization": "Bearer " + load.KEY})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise SystemExit(text.decode())
    return json.loads(text)


def speed(port, model, prompt, n_tokens, counted):
    body = {"model": model, "prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True}
    begin = time.monotonic()
    usage = call(port, "POST", "/v1/completions", json.dumps(body))["usage"]
    return usage[counted] / (time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--model", type=pathlib.Path, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--ranks", type=lambda text: [int(rank) for rank in text.split(",")], default=[8, 16, 64])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.model is None:
        fetched = subprocess.run([ROOT / "tools/fetch_model.sh", "smollm2"], check=True, capture_output=True, text=True)
        options.model = fetched.stdout.split()[-1]
    ways = ["bench", *(f"bench@rank{rank}" for rank in options.ranks)]
    speeds = {(what, way): [] for what in ("prompt", "answer") for way in ways}
    with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "log", "wb") as log:
        server = load.start_realm(options, log, folder)
        try:
            memory = [0]
            for rank in options.ranks:
                path = pathlib.Path(folder) / f"{rank}.gguf"
                write_adapter(path, options.model, rank)
                call(server.port, "PUT", f"/v1/adapters/rank{rank}?model=bench", path.read_bytes())
                memory.append(server.metrics()["realm_adapter_bytes"])
            for number in range(options.rounds):
                for way in ways[number % len(ways):] + ways[:number % len(ways)]:
                    prompt = load.prompt_of(1000 + number, N_PROMPT)  # no way finds another's pages
                    speeds["prompt", way].append(speed(server.port, way, prompt, 1, "prompt_tokens"))
                    speeds["answer", way].append(speed(server.port, way, f"{number}:", N_ANSWER, "completion_tokens"))
        finally:
            server.close()
    for index, way in enumerate(ways):
        row = f"{way:14}"
        for what in ("prompt", "answer"):
            alone, value = (statistics.median(speeds[what, w]) for w in (ways[0], way))
            row += f"   {what} {value:8.1f} tokens/s, loss {100 * (1 - value / alone):5.1f} %"
        print(f"{row}   {(memory[index] - memory[max(0, index - 1)]) / 1e6:6.1f} MB")


if __name__ == "__main__":
    main()
