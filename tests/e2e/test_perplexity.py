"""`realm perplexity` against llama.cpp's tool on the same files: within half a percent."""

import json
import os
import pathlib
import subprocess

import pytest

DATA = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "name, variable", [("smollm2", "REALM_MODEL_SMOLLM2"), ("gemma3", "REALM_MODEL_GEMMA3")]
)
def test_perplexity_is_that_of_llama_cpp(name, variable):
    model = os.environ.get(variable)
    if not model:
        pytest.skip(f"{variable} is not set")
    golden = (DATA / f"golden/llama_cpp/{name}.perplexity.txt").read_text().split()
    wanted, text, window = float(golden[1]), DATA / "data" / golden[2], golden[3]
    run = subprocess.run(
        [os.environ["REALM"], "perplexity", "-m", model, "-f", text, "--ctx", window, "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    got = json.loads(run.stdout.splitlines()[-1])["perplexity"]
    assert abs(got / wanted - 1) < 0.005, f"{got} instead of {wanted}"
