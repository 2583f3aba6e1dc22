#!/usr/bin/env python3
"""Makes random LoRA adapters for the tiny models, as GGUF files, and their golden logits.

Oracle: llama.cpp, F32 KV cache, without flash attention, one thread; the gguf package for the files.
Output: tests/golden/adapters/NAME.gguf and NAME.logits.bin, in the format of the models' logits; and
llama_tied_peft/, the numbers of llama_tied.gguf as PEFT saves them.
Command: pip install gguf numpy xllamacpp==2026.10.11549 &&
         tools/make_golden/adapters.py tests/golden/models tests/golden/adapters
"""

import json
import pathlib
import struct
import sys

import gguf
import numpy as np

import llama_library

TOKENS = 40
ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
FFN = ("ffn_gate", "ffn_up", "ffn_down")
F32, F16, Q8_0 = (gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "Q8_0"))

# name: (model, matrices of each layer, others, rank, alpha, type); B of Q8_0 wants a rank of whole blocks.
ADAPTERS = {
    "llama_tied": ("llama_tied", ATTENTION + FFN, (), 4, 8.0, F32),
    "llama_untied_q8_0": ("llama_untied", ("attn_q", "attn_v", "ffn_gate"), ("output",), 32, 16.0, Q8_0),
    "qwen3_f16": ("qwen3", ("attn_q", "attn_v", "ffn_down"), (), 5, 0.0, F16),
    "phi3": ("phi3", ("attn_qkv", "ffn_up"), (), 3, 9.0, F32),
}


def shapes_of(path):
    """{weight's name: (rows, columns)} and the architecture of a model file."""
    reader = gguf.GGUFReader(path)
    field = reader.fields["general.architecture"]
    return ({tensor.name: (int(tensor.shape[1]), int(tensor.shape[0]))
             for tensor in reader.tensors if len(tensor.shape) == 2},
            bytes(field.parts[field.data[0]]).decode())


def add(writer, name, values, kind):
    if kind == Q8_0 and values.shape[1] % 32 == 0:
        writer.add_tensor(name, gguf.quants.quantize(values, Q8_0), raw_dtype=Q8_0)
    else:
        writer.add_tensor(name, values.astype(np.float16 if kind != F32 else np.float32))


def write_adapter(path, shapes, architecture, wanted, rank, alpha, kind):
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    random = np.random.default_rng(11)
    for name in wanted:
        rows, columns = shapes[name]
        scale = rank / alpha if alpha else 1.0
        a = random.standard_normal((rank, columns)) * columns ** -0.5
        b = random.standard_normal((rows, rank)) * rank ** -0.5 * scale * 0.5
        add(writer, name + ".lora_a", a.astype(np.float32), kind)
        add(writer, name + ".lora_b", b.astype(np.float32), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


MODULES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
           "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
           "ffn_down": "mlp.down_proj"}


def write_peft(folder, path, heads):
    """heads: {"attn_q": n, "attn_k": n}, whose rows stand in another order in llama's GGUF files."""
    folder.mkdir(exist_ok=True)
    reader = gguf.GGUFReader(path)
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for tensor in reader.tensors:
        _, layer, role, _, half = tensor.name.split(".")
        values = np.array(tensor.data, np.float32)
        if half == "lora_b" and role in heads:
            pairs = values.reshape(heads[role], values.shape[0] // heads[role] // 2, 2, -1)
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        name = f"base_model.model.model.layers.{layer}.{MODULES[role]}.lora_{half[-1].upper()}.weight"
        data = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape),
                        "data_offsets": [len(numbers), len(numbers) + len(data)]}
        numbers += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    _, of_layers, _, rank, alpha, _ = ADAPTERS["llama_tied"]
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": int(alpha), "bias": "none",
              "use_rslora": False, "use_dora": False, "fan_in_fan_out": False, "lora_dropout": 0.0,
              "alpha_pattern": {}, "rank_pattern": {}, "modules_to_save": None, "layers_to_transform": None,
              "target_modules": [MODULES[role].split(".")[1] for role in of_layers],
              "base_model_name_or_path": "tiny", "inference_mode": True}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    models, folder = map(pathlib.Path, sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    library = llama_library.load_library()
    oracle = llama_library.version().encode()
    tokens = np.random.default_rng(7).integers(0, 256, TOKENS).astype(np.uint32)
    for name, (model_name, of_layers, others, rank, alpha, kind) in ADAPTERS.items():
        shapes, architecture = shapes_of(models / f"{model_name}.gguf")
        wanted = [n for n in shapes if n.split(".")[-2] in of_layers + others]
        path = folder / f"{name}.gguf"
        write_adapter(path, shapes, architecture, wanted, rank, alpha, kind)
        model = llama_library.Model(library, models / f"{model_name}.gguf")
        context = model.context(TOKENS, kv_type=llama_library.F32)
        without = context.decode(tokens, 0)
        context.clear()
        context.adapt(path)
        logits = context.decode(tokens, 0)
        context.close()
        model.close()
        with open(folder / f"{name}.logits.bin", "wb") as file:
            file.write(b"RGLD")
            file.write(struct.pack("<III", TOKENS, logits.shape[1], len(oracle)))
            file.write(oracle)
            file.write(tokens.astype("<u4").tobytes())
            file.write(logits.astype("<f4").tobytes())
        print(f"{name}: {len(wanted)} matrices, logits {logits.std():.2f} (std), moved by "
              f"{np.abs(logits - without).mean():.2f}, {oracle.decode()}")
    write_peft(folder / "llama_tied_peft", folder / "llama_tied.gguf", {"attn_q": 4, "attn_k": 2})


if __name__ == "__main__":
    main()
