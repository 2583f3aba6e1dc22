"""`--kv-type`: what keys and values are kept as costs memory, and next to no quality."""

import json
import os
import pathlib
import re
import subprocess

import pytest

DATA = pathlib.Path(__file__).resolve().parents[1]
TYPES = ("f16", "bf16", "q8_0", "q8_0_q4_1")


@pytest.fixture(scope="module")
def model():
    path = os.environ.get("REALM_MODEL_SMOLLM2")
    if not path:
        pytest.skip("REALM_MODEL_SMOLLM2 is not set")
    return path


def realm(*arguments):
    run = subprocess.run(
        [os.environ["REALM"], *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return run.stdout


def perplexity(model, kv_type):
    text = DATA / "data" / (DATA / "golden/llama_cpp/smollm2.perplexity.txt").read_text().split()[2]
    out = realm(
        "perplexity", "-m", model, "-f", text, "--chunks", 8, "--kv-type", kv_type, "--json"
    )
    return json.loads(out.splitlines()[-1])["perplexity"]


def test_perplexity_stays_within_half_a_percent_and_with_four_bits_within_two(model):
    exact = perplexity(model, "f16")
    for kv_type, bound in (("bf16", 0.005), ("q8_0", 0.005), ("q8_0_q4_1", 0.02)):
        got = perplexity(model, kv_type)
        assert got != exact, f"{kv_type} changed nothing at all"
        assert abs(got / exact - 1) < bound, f"{kv_type}: {got} instead of {exact}"


def test_a_greedy_answer_is_still_right(model):
    for kv_type in TYPES:
        out = realm(
            *("run", "-m", model, "--raw", "-p", "The capital of France is"),
            *("--temperature", 0, "--max-tokens", 4, "--kv-type", kv_type),
        )
        assert "Paris" in out, kv_type


def test_bench_prints_the_memory_of_each(model):
    units = {"kB": 1e3, "MB": 1e6}
    sizes = {}
    for kv_type in TYPES:
        out = realm(
            *("bench", "-m", model, "--prefill", 64, "--decode", 0, "--reps", 1),
            *("--kv-type", kv_type),
        )
        number, unit = re.search(rf"KV ([0-9.]+) (\w+) \({kv_type}\)", out).groups()
        sizes[kv_type] = float(number) * units[unit]
    assert sizes["f16"] == sizes["bf16"]
    assert 0.5 < sizes["q8_0"] / sizes["f16"] < 0.56
    assert 0.4 < sizes["q8_0_q4_1"] / sizes["f16"] < 0.45


def test_an_unknown_type_is_refused_with_the_known_ones(model):
    run = subprocess.run(
        [os.environ["REALM"], "bench", "-m", model, "--kv-type", "q4_0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    assert "kv-type" in run.stderr and "q8_0" in run.stderr
