#!/usr/bin/env python3
"""Compares the golden logits of the tiny models with llama.cpp's for the same files.

Proves the conversion, not Realm: two independent programs agree on what each GGUF file means.
llama.cpp runs with F32 KV cache, without flash attention.  It rounds activations to half precision
before it multiplies F16 matrices, and takes gemma3's GELU from a table in half precision: there the
two may differ by more.
Command: pip install numpy xllamacpp==2026.10.11549 && tools/make_golden/check_models.py tests/golden/models
"""

import pathlib
import struct
import sys

import numpy as np

import llama_library


def read_golden(path):
    data = path.read_bytes()
    assert data[:4] == b"RGLD", path
    n_tokens, n_vocab, n_name = struct.unpack_from("<III", data, 4)
    tokens = np.frombuffer(data, "<u4", n_tokens, 16 + n_name)
    logits = np.frombuffer(data, "<f4", n_tokens * n_vocab, 16 + n_name + 4 * n_tokens)
    return tokens, logits.reshape(n_tokens, n_vocab)


def main():
    library = llama_library.load_library()
    print(llama_library.version())
    bad = 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.gguf")):
        tokens, wanted = read_golden(path.with_suffix("").with_suffix(".logits.bin"))
        model = llama_library.Model(library, path)
        context = model.context(len(tokens), kv_type=llama_library.F32)
        got = context.decode(tokens, 0)
        context.close()
        model.close()
        off = np.abs(got - wanted).max()
        bound = 2e-2 if "_f16" in path.stem else 1e-2 if "gemma3" in path.stem else 1e-4
        bad += off > bound
        print(f"{path.stem}: {len(tokens)} tokens, greatest difference {off:.2g}, "
              f"standard deviation of logits {wanted.std():.2f}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
