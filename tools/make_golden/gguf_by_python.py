#!/usr/bin/env python3
"""Writes tests/golden/gguf/by_python.gguf with the Python package gguf: every kind of value, arrays,
and tensors of several types.  tests/unit/test_gguf_files.c reads it, and writes the same bytes again.

    $(tools/venv.sh)/bin/python tools/make_golden/gguf_by_python.py

The package's version is written into the file itself.
"""

from importlib.metadata import version
from pathlib import Path

import gguf
import numpy

PATH = Path(__file__).resolve().parents[2] / "tests/golden/gguf/by_python.gguf"


def main():
    PATH.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(PATH, "llama")
    writer.add_string("test.oracle", "gguf " + version("gguf"))
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -128)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -32768)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2147483648)
    writer.add_float32("test.f32", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "h\u00e9llo \u2713")
    writer.add_uint64("test.u64", (1 << 64) - 1)
    writer.add_int64("test.i64", -(1 << 63))
    writer.add_float64("test.f64", 1e300)
    writer.add_array("test.words", ["a", "", "\u2581the"])
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.reals", [0.5, -1.5])
    writer.add_array("test.flags", [True, False])
    rows = numpy.arange(64, dtype=numpy.float32).reshape(2, 32) / 8 - 4
    writer.add_tensor("f32", rows[:, :5].copy())
    writer.add_tensor("f16", rows.astype(numpy.float16))
    writer.add_tensor("q8_0", gguf.quants.quantize(rows, gguf.GGMLQuantizationType.Q8_0),
                      raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("cube", numpy.arange(24, dtype=numpy.int32).reshape(2, 3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
