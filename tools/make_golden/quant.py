#!/usr/bin/env python3
"""Makes golden blocks of every quantised type.

Oracles: the gguf package (NumPy) for dequantised values, bit for bit, and for its quantisers' error;
llama.cpp (PyPI xllamacpp) for the bytes, its quantisers' error, and as a second dequantiser.
Output: tests/golden/quant/TYPE.bin; tests/golden/README.md gives the format.
Command: pip install gguf==0.19.0 numpy==2.4.6 xllamacpp==2026.10.11549
         tools/make_golden/quant.py tests/golden/quant
"""

import ctypes
import importlib.metadata
import pathlib
import struct
import sys

import gguf
import numpy as np

import llama_library

VALUES = 2048  # of a section: 8 blocks of 256, 64 of 32
RANDOM_BLOCKS = {32: 64, 256: 16, 1: 2048}
TYPES = [
    "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1",
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K",
]
# Byte offsets of the half-precision scales in a block, which random bytes would make infinite.
HALF_SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q8_1": [0, 2],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}


def block_size(kind):
    """Values and bytes of a block; of Q8_1 as ggml has it, which the package counts differently."""
    return (32, 36) if kind.name == "Q8_1" else gguf.GGML_QUANT_SIZES[kind]


def distributions():
    r = np.random.default_rng(42)
    normal = r.standard_normal
    outliers = normal(VALUES) * 0.02
    outliers[r.integers(0, VALUES, 40)] *= 60
    constant = np.repeat(r.standard_normal(VALUES // 256), 256)
    skewed = np.abs(normal(VALUES)) * 0.1 + 0.3  # every value above zero: mins matter
    values = {
        "normal": normal(VALUES) * 0.05,
        "uniform": r.uniform(-1, 1, VALUES),
        "outliers": outliers,
        "skewed": skewed,
        "zeros": np.zeros(VALUES),
        "constant": constant,
        "tiny": normal(VALUES) * 1e-6,
        "huge": np.clip(normal(VALUES) * 20000, -60000, 60000),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def from_llama_cpp(library, function, block_bytes, values, block):
    out = np.zeros(len(values) // block * block_bytes, dtype=np.uint8)
    row = getattr(library, function)
    row.restype, row.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    row(values.ctypes.data, out.ctypes.data, len(values))
    return out


def quantise(library, kind, values):
    block, block_bytes = block_size(kind)
    if kind.name in ("Q8_1", "Q8_K"):  # made for activations: the row functions alone have them
        return from_llama_cpp(
            library, f"quantize_row_{kind.name.lower().replace('k', 'K')}_ref", block_bytes, values,
            block)
    out = np.zeros(len(values) // block * block_bytes, dtype=np.uint8)
    rows = len(values) // VALUES
    size = library.ggml_quantize_chunk(
        kind.value, values.ctypes.data, out.ctypes.data, 0, rows, VALUES, None)
    assert size == len(out), (kind, size, len(out))
    return out


def dequantise(kind, data):
    """By the gguf package; for the two that it lacks, as their layout says."""
    if kind.name == "Q8_1":
        blocks = data.reshape(-1, 36)
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        return (d * blocks[:, 4:].view(np.int8).astype(np.float32)).reshape(-1)
    if kind.name == "Q8_K":
        blocks = data.reshape(-1, 292)
        d = blocks[:, :4].copy().view(np.float32)
        return (d * blocks[:, 4:260].view(np.int8).astype(np.float32)).reshape(-1)
    return gguf.dequantize(data, kind).reshape(-1)


def second_opinion(library, kind, data, n):
    """By llama.cpp; None where it has no function."""
    name = {"F16": None, "BF16": None, "Q8_1": None}.get(
        kind.name, f"dequantize_row_{kind.name[0].lower()}{kind.name[1:]}")
    if name is None:
        return None
    out = np.zeros(n, dtype=np.float32)
    row = getattr(library, name)
    row.restype, row.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    row(data.ctypes.data, out.ctypes.data, n)
    return out


def rms(a, b):
    return float(np.sqrt(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))


def rms_of_package(kind, values):
    try:
        data = gguf.quantize(values, kind)
    except NotImplementedError:
        return float("nan"), None
    return rms(values, dequantise(kind, data)), data


def random_blocks(kind):
    """Bytes no quantiser would choose: every scale, every code."""
    block, block_bytes = block_size(kind)
    r = np.random.default_rng(7)
    data = r.integers(0, 256, (RANDOM_BLOCKS[block], block_bytes), dtype=np.uint8)
    for offset in HALF_SCALES.get(kind.name, []):
        scales = r.uniform(-2, 2, len(data)).astype(np.float16)
        data[:, offset:offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    if kind.name == "Q8_K":
        data[:, :4] = r.uniform(-2, 2, len(data)).astype(np.float32).view(np.uint8).reshape(-1, 4)
    if kind.name in ("F16", "BF16"):  # no NaN, whose payload no one promises
        bits = data.view(np.uint16).reshape(-1)
        exponent = 0x7C00 if kind.name == "F16" else 0x7F80
        bits[(bits & exponent) == exponent] &= np.uint16(0x8000 | exponent)
        bits[:8] = [0, 0x8000, 1, 0x8001, exponent, 0x8000 | exponent, 0x0080, 0x3FFF]
    return data.reshape(-1)


def write_section(file, name, source, data, values, errors):
    file.write(name.encode().ljust(16, b"\0"))
    file.write(struct.pack("<III", len(source), len(data), len(values)))
    file.write(struct.pack("<dd", *errors))
    file.write(source.astype("<f4").tobytes() + data.tobytes() + values.astype("<f4").tobytes())


def make(library, folder, name):
    kind = gguf.GGMLQuantizationType[name]
    block, block_bytes = block_size(kind)
    oracle = f"gguf {importlib.metadata.version('gguf')}; {llama_library.version()}".encode()
    sections = distributions()
    with open(folder / f"{name.lower()}.bin", "wb") as file:
        file.write(b"RQNT" + struct.pack(
            "<IIIII", kind.value, block, block_bytes, len(sections) + 1, len(oracle)) + oracle)
        for section, source in sections.items():
            if name in ("F16", "BF16"):
                data = gguf.quantize(source, kind).view(np.uint8).reshape(-1)
            else:
                data = quantise(library, kind, source)
            values = dequantise(kind, data)
            by_package, package_data = rms_of_package(kind, source)
            by_llama_cpp = rms(source, values)
            compare(library, name, section, kind, data, values, package_data)
            write_section(file, section, source, data, values, (by_package, by_llama_cpp))
            print(f"{name} {section}: rms {by_package:.6g} (gguf) {by_llama_cpp:.6g} (llama.cpp)")
        data = random_blocks(kind)
        values = dequantise(kind, data)
        compare(library, name, "random bytes", kind, data, values, None)
        write_section(
            file, "random bytes", np.zeros(0), data, values, (float("nan"), float("nan")))


def compare(library, name, section, kind, data, values, package_data):
    other = second_opinion(library, kind, data, len(values))
    if other is not None:
        differ = np.count_nonzero(other.view(np.uint32) != values.view(np.uint32))
        if differ:
            print(f"{name} {section}: {differ} of {len(values)} values dequantise differently")
    if package_data is not None and not np.array_equal(package_data.view(np.uint8).ravel(), data):
        print(f"{name} {section}: gguf and llama.cpp quantise to different bytes")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    library = llama_library.load_library()
    for name in TYPES:
        make(library, folder, name)


if __name__ == "__main__":
    main()
