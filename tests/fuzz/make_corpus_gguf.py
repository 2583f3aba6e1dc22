#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_gguf: small model files, good ones and one of each kind of bad.

    tests/fuzz/make_corpus_gguf.py FOLDER

The output depends on this script alone.  Inputs that a fuzzer finds are kept beside the seeds.
"""

import struct
import sys
from pathlib import Path

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B",
        U64: "Q", I64: "q", F64: "d"}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    return string(value) if kind == STRING else struct.pack("<" + PACK[kind], value)


def value(key, kind, content):
    return string(key) + struct.pack("<I", kind) + scalar(kind, content)


def array(key, kind, items, count=None):
    head = struct.pack("<IIQ", ARRAY, kind, len(items) if count is None else count)
    return string(key) + head + b"".join(scalar(kind, item) for item in items)


def tensor(name, shape, kind, offset):
    return (string(name) + struct.pack("<I", len(shape)) +
            b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", kind, offset))


def model(values=(), tensors=(), n_data=0, version=3, alignment=32, counts=None):
    n_tensors, n_values = counts or (len(tensors), len(values))
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_values)
    head += b"".join(values) + b"".join(tensors)
    if n_data:
        head += bytes(-len(head) % alignment) + bytes(i & 255 for i in range(n_data))
    return head


KINDS = [value("u8", U8, 200), value("i8", I8, -1), value("u16", U16, 60000),
         value("i16", I16, -300), value("u32", U32, 1 << 31), value("i32", I32, -5),
         value("f32", F32, 0.5), value("bool", BOOL, 1), value("string", STRING, "hello"),
         value("u64", U64, 1 << 63), value("i64", I64, -(1 << 63)), value("f64", F64, 1e300)]
ARRAYS = [array("numbers", I32, [1, -2, 3]), array("reals", F32, [0.0, 1.0]),
          array("words", STRING, ["a", "", "ccc"]), array("flags", BOOL, [0, 1]),
          array("none", U8, [])]
WEIGHTS = [tensor("token_embd.weight", [32, 2], 8, 0), tensor("output_norm.weight", [8], 0, 96),
           tensor("blk.0.attn_q.weight", [256, 1], 12, 128), tensor("cube", [2, 2, 2, 2], 1, 288)]

CORPUS = {
    "good-empty-v2": model(version=2),
    "good-empty-v3": model(),
    "good-kinds": model(KINDS),
    "good-arrays": model(ARRAYS),
    "good-tensors": model(KINDS[:3], WEIGHTS, 320),
    "good-whole": model(KINDS + ARRAYS, WEIGHTS, 320, version=2),
    "good-alignment": model([value("general.alignment", U32, 64)],
                            [tensor("a", [8], 0, 0), tensor("b", [8], 0, 64)], 96, alignment=64),
    "good-unordered": model((), [tensor("b", [8], 0, 32), tensor("a", [8], 0, 0)], 64),
    "good-split-of-one": model([value("split.count", U16, 1), value("split.no", U16, 0)]),
    "bad-magic": b"GGML" + model()[4:],
    "bad-version": model(version=9),
    "bad-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "bad-short-header": model()[:20],
    "bad-counts": model(counts=(1 << 60, 1 << 60)),
    "bad-key-twice": model([value("k", U8, 1), value("k", U8, 2)]),
    "bad-key-zero-byte": model([value(b"a\0b", U8, 1)]),
    "bad-key-utf8": model([value(b"a\xff", U8, 1)]),
    "bad-type": model([string("k") + struct.pack("<IQ", 77, 0)]),
    "bad-bool": model([value("k", BOOL, 7)]),
    "bad-nested": model([string("k") + struct.pack("<IIQQ", ARRAY, ARRAY, 1, 0)]),
    "bad-array-count": model([array("k", U64, [1, 2], 1 << 61)]),
    "bad-strings": model([array("k", STRING, ["a", "b"], 3)]),
    "bad-alignment": model([value("general.alignment", U32, 3)]),
    "bad-shape-zero": model((), [tensor("w", [8, 0], 0, 0)], 32),
    "bad-shape-large": model((), [tensor("w", [1 << 40, 1 << 40], 0, 0)], 32),
    "bad-shape-five": model((), [tensor("w", [1, 1, 1, 1, 1], 0, 0)], 32),
    "bad-row": model((), [tensor("w", [33], 2, 0)], 64),
    "bad-tensor-type": model((), [tensor("w", [32], 99, 0)], 64),
    "bad-tensor-twice": model((), [tensor("w", [8], 0, 0), tensor("w", [8], 0, 32)], 64),
    "bad-overlap": model((), [tensor("a", [9], 0, 0), tensor("b", [8], 0, 32)], 64),
    "bad-out-of-file": model((), [tensor("a", [8], 0, 32)], 63),
    "bad-offset": model((), [tensor("a", [8], 0, (1 << 64) - 32)], 64),
    "bad-split": model([value("split.count", U16, 2), value("split.no", U16, 0)]),
    "bad-split-second": model([value("split.count", U16, 2), value("split.no", U16, 1)]),
}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in CORPUS.items():
        (folder / f"{name}.gguf").write_bytes(data)


if __name__ == "__main__":
    main()
