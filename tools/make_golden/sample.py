#!/usr/bin/env python3
"""Makes the distributions that others' samplers leave of given logits.

Oracles: llama.cpp's samplers (PyPI xllamacpp) for every case; transformers' logits processors and
warpers beside it wherever it has the same step (the script stops if the two differ).
Output: tests/golden/sample/sample.txt; tests/golden/README.md gives the format.
Command: pip install xllamacpp==2026.10.11549 transformers==5.23.0 torch==2.15.0 numpy==2.4.6
         tools/make_golden/sample.py tests/golden/models/llama_tied.gguf tests/golden/sample/sample.txt
"""

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint32, c_void_p
import importlib.metadata
import sys

import numpy as np
import torch
import transformers

import llama_library

VOCABULARY = 320  # of the tiny model, whose texts the DRY breakers are sought in
MIROSTAT_STEPS = 12


class TokenData(ctypes.Structure):
    _fields_ = [("id", c_int32), ("logit", c_float), ("p", c_float)]


class TokenDataArray(ctypes.Structure):
    _fields_ = [
        ("data", POINTER(TokenData)), ("size", c_size_t), ("selected", c_int64), ("sorted", c_bool)]


class ChainParams(ctypes.Structure):
    _fields_ = [("no_perf", c_bool)]


class LogitBias(ctypes.Structure):
    _fields_ = [("token", c_int32), ("bias", c_float)]


SIGNATURES = {
    "llama_sampler_chain_init": (c_void_p, [ChainParams]),
    "llama_sampler_chain_add": (None, [c_void_p, c_void_p]),
    "llama_sampler_apply": (None, [c_void_p, POINTER(TokenDataArray)]),
    "llama_sampler_accept": (None, [c_void_p, c_int32]),
    "llama_sampler_free": (None, [c_void_p]),
    "llama_sampler_init_dist": (c_void_p, [c_uint32]),
    "llama_sampler_init_top_k": (c_void_p, [c_int32]),
    "llama_sampler_init_top_p": (c_void_p, [c_float, c_size_t]),
    "llama_sampler_init_min_p": (c_void_p, [c_float, c_size_t]),
    "llama_sampler_init_typical": (c_void_p, [c_float, c_size_t]),
    "llama_sampler_init_temp": (c_void_p, [c_float]),
    "llama_sampler_init_mirostat": (c_void_p, [c_int32, c_uint32, c_float, c_float, c_int32]),
    "llama_sampler_init_mirostat_v2": (c_void_p, [c_uint32, c_float, c_float]),
    "llama_sampler_init_penalties": (c_void_p, [c_int32, c_int32, c_float, c_float, c_float]),
    "llama_sampler_init_logit_bias": (c_void_p, [c_int32, c_int32, POINTER(LogitBias)]),
    "llama_sampler_init_dry": (c_void_p, [
        c_void_p, c_float, c_float, c_int32, c_int32, POINTER(c_char_p), c_size_t]),
}


def rows():
    r = np.random.default_rng(11)
    return {
        "spread": (r.standard_normal(VOCABULARY) * 3).astype(np.float32),
        "flat": (r.standard_normal(VOCABULARY) * 0.5).astype(np.float32),
        "peaked": (r.standard_normal(VOCABULARY) * 6).astype(np.float32),
    }


class Llama:
    def __init__(self, path):
        self.library = llama_library.load_library()
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self.model = llama_library.Model(self.library, path, vocab_only=True)
        assert self.model.n_vocab == VOCABULARY

    def chain(self, options):
        """The samplers of the options, in the order of llama.cpp's server."""
        l, o = self.library, options
        chain = l.llama_sampler_chain_init(ChainParams(True))
        add = lambda sampler: l.llama_sampler_chain_add(chain, sampler)
        if "bias" in o:
            biases = (LogitBias * len(o["bias"]))(*o["bias"])
            add(l.llama_sampler_init_logit_bias(VOCABULARY, len(biases), biases))
        if any(name in o for name in ("repetition", "presence", "frequency")):
            add(l.llama_sampler_init_penalties(
                VOCABULARY, o.get("window", len(o["history"])), o.get("repetition", 1.0),
                o.get("frequency", 0.0), o.get("presence", 0.0)))
        if "dry" in o:
            texts = [text.encode() for text in o["breakers"]]
            add(l.llama_sampler_init_dry(
                self.model.vocab, o["dry"], o["base"], o["allowed"],
                o.get("window", 4096), (c_char_p * len(texts))(*texts), len(texts)))
        if "top_k" in o:
            add(l.llama_sampler_init_top_k(o["top_k"]))
        if "typical" in o:
            add(l.llama_sampler_init_typical(o["typical"], 1))
        if "top_p" in o:
            add(l.llama_sampler_init_top_p(o["top_p"], 1))
        if "min_p" in o:
            add(l.llama_sampler_init_min_p(o["min_p"], 1))
        if "temperature" in o:
            add(l.llama_sampler_init_temp(o["temperature"]))
        if o.get("mirostat") == 1:
            add(l.llama_sampler_init_mirostat(VOCABULARY, 7, o["tau"], o["eta"], 100))
        elif o.get("mirostat") == 2:
            add(l.llama_sampler_init_mirostat_v2(7, o["tau"], o["eta"]))
        else:
            add(l.llama_sampler_init_dist(7))
        for token in o.get("history", []):
            l.llama_sampler_accept(chain, token)
        return chain

    def apply(self, chain, logits):
        """Probabilities by token (0: removed), and the token drawn."""
        data = (TokenData * VOCABULARY)(*((i, float(x), 0.0) for i, x in enumerate(logits)))
        array = TokenDataArray(data, VOCABULARY, -1, False)
        self.library.llama_sampler_apply(chain, ctypes.byref(array))
        kept = [(array.data[i].id, array.data[i].logit) for i in range(array.size)]
        weights = np.zeros(VOCABULARY)
        top = max(logit for _, logit in kept)
        for token, logit in kept:
            weights[token] = np.exp(np.float64(logit) - top)
        return weights / weights.sum(), array.data[array.selected].id


def by_transformers(options, logits):
    """None: transformers has no such step."""
    t, o = transformers, options
    scores = torch.tensor(logits)[None].double()
    history = torch.tensor([o.get("history", [0])])
    steps = {
        "repetition": lambda: t.RepetitionPenaltyLogitsProcessor(o["repetition"]),
        "top_k": lambda: t.TopKLogitsWarper(o["top_k"]),
        "typical": lambda: t.TypicalLogitsWarper(o["typical"]),
        "top_p": lambda: t.TopPLogitsWarper(o["top_p"]),
        "min_p": lambda: t.MinPLogitsWarper(o["min_p"]),
        "temperature": lambda: t.TemperatureLogitsWarper(o["temperature"]),
    }
    if any(name not in steps and name not in ("history", "given") for name in o):
        return None
    for name, make in steps.items():
        if name in o:
            scores = make()(history, scores)
    return torch.softmax(scores[0], 0).numpy()


def text_history(llama, text):
    return llama.model.tokenize(text.encode())


def cases(llama):
    """Options; history: tokens so far, of which the first `given` are the prompt."""
    r = np.random.default_rng(5)
    history = [int(x) for x in r.integers(0, 40, 60)]
    for value in (0.3, 0.7, 1.0, 1.9):
        yield {"temperature": value}
    for value in (1, 2, 40, 319, 320):
        yield {"top_k": value}
    for name in ("top_p", "typical"):
        for value in (0.01, 0.1, 0.5, 0.9, 0.99):
            yield {name: value}
    for value in (0.001, 0.05, 0.3, 1.0):
        yield {"min_p": value}
    yield {"top_k": 50, "typical": 0.9, "top_p": 0.95, "min_p": 0.02, "temperature": 0.6}
    yield {"top_k": 7, "temperature": 1.5}
    yield {"top_p": 0.8, "min_p": 0.05, "temperature": 2.0}
    yield {"bias": [(3, 4.5), (7, -2.25), (200, 11.0)]}
    for value in (1.1, 1.8, 0.6):
        yield {"repetition": value, "history": history, "given": 25}
    yield {"repetition": 1.3, "window": 10, "history": history, "given": 55}
    yield {"presence": 0.8, "history": history, "given": 0}
    yield {"frequency": 0.5, "history": history, "given": 0}
    yield {"presence": -1.0, "frequency": 1.5, "window": 16, "history": history, "given": 30}
    yield {"repetition": 1.2, "presence": 0.4, "frequency": 0.3, "history": history, "given": 0,
           "top_k": 30, "temperature": 0.8}
    text = "in the end the cat and the hen\nwere in the end the cat and the hen\nwere in the end the"
    for breakers in (["\n"], ["zz"], ["the"], ["end the"], ["cat", "hen\nw"], ["n"]):
        yield {"dry": 0.8, "base": 1.75, "allowed": 2, "breakers": breakers,
               "history": text_history(llama, text), "given": 5}
    yield {"dry": 2.0, "base": 1.2, "allowed": 4, "breakers": ["\n", ":"], "window": 20,
           "history": text_history(llama, text), "given": 0}
    for seed in range(4):
        r = np.random.default_rng(100 + seed)
        yield {"dry": 0.5, "base": 1.5, "allowed": 1 + seed, "breakers": ["a", "bc"], "given": 0,
               "history": [int(x) for x in r.integers(97, 101, 90)]}


def write_value(value):
    if isinstance(value, (list, tuple)):
        return ",".join(write_value(item) for item in value)
    if isinstance(value, str):
        return value.encode().hex()
    return f"{value:.9g}"


def write_bias(value):
    return ",".join(f"{token}:{bias:.9g}" for token, bias in value)


def write_options(options):
    return " ".join(
        f"{name}={write_bias(value) if name == 'bias' else write_value(value)}"
        for name, value in options.items())


def write_kept(probabilities):
    return " ".join(f"{i}:{p:.6g}" for i, p in enumerate(probabilities) if p > 0)


def main():
    model, out = sys.argv[1:]
    llama, logits = Llama(model), rows()
    compared = 0
    with open(out, "w", encoding="ascii") as file:
        print(f"# {llama_library.version()}; transformers {transformers.__version__}; "
              f"torch {importlib.metadata.version('torch')}", file=file)
        for name, values in logits.items():
            print(f"row {name}", *(f"{x:.9g}" for x in values), file=file)
        for number, options in enumerate(cases(llama)):
            one = list(logits)[number % len(logits)]  # enough where nothing is cut
            for name, values in logits.items() if "history" not in options else [(one, logits[one])]:
                got, _ = llama.apply(llama.chain(options), values)
                theirs = by_transformers(options, values)
                if theirs is not None:
                    compared += 1
                    assert ((got > 0) == (theirs > 0)).all(), (options, name)
                    assert np.abs(got - theirs).max() < 1e-5, (options, name)
                print(f"case {name} {write_options(options)}", file=file)
                print("kept", write_kept(got), file=file)
        for options in ({"mirostat": 1, "tau": 3.0, "eta": 0.2},
                        {"mirostat": 1, "tau": 5.0, "eta": 0.1, "temperature": 0.7},
                        {"mirostat": 2, "tau": 3.0, "eta": 0.2},
                        {"mirostat": 2, "tau": 6.0, "eta": 0.5, "temperature": 1.3}):
            chain = llama.chain(options)
            print(f"mirostat {write_options(options)}", file=file)
            for step in range(MIROSTAT_STEPS):
                name = list(logits)[step % len(logits)]
                got, token = llama.apply(chain, logits[name])
                llama.library.llama_sampler_accept(chain, token)
                print(f"step {name} {token} {write_kept(got)}", file=file)
    print(f"{compared} cases agree with transformers")


main()
