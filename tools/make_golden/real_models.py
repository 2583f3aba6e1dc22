#!/usr/bin/env python3
"""Makes what llama.cpp says of the real models: greedy continuations and perplexity.

Oracle: llama.cpp (PyPI xllamacpp), CPU, F16 KV cache, flash attention off, one prompt at a time; prompt
in one batch, then token by token.  Perplexity as llama.cpp's tool llama-perplexity has it: windows of
512 tokens without overlap, BOS in each window's first place if the model wants one, second half scored.
Output: tests/golden/llama_cpp/NAME.txt and NAME.perplexity.txt; README.md there gives the formats.
Command: pip install numpy gguf==0.19.0 jinja2 xllamacpp==2026.10.11549
         tools/make_golden/real_models.py tests/golden/llama_cpp NAME=FILE.gguf ...
Needs 1.1 GB of disk for a copy with exact weights.
"""

import pathlib
import sys
import tempfile

import gguf
import jinja2
import numpy as np

import llama_library

N_TOKENS, WINDOW, THREADS = 72, 512, 1
TEXT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/gpl-3.0.txt"
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "#include <stdio.h>\n\nint main(int argc, char **argv)\n{\n    printf(",
    "Water boils at a temperature of",
    "La capitale de l'Italie est",
    "Die Hauptstadt von Deutschland ist",
    "El agua es un líquido",
    "The following is a list of prime numbers: 2, 3, 5, 7, 11,",
    "In 1969, the first humans",
    "SELECT name, age FROM users WHERE",
    "{\"name\": \"Alice\", \"age\": 30, \"city\":",
    "人工智能是",
    "Столица России -",
    "Q: What is the largest planet in the solar system?\nA:",
    "Dear Sir or Madam,\n\nI am writing to",
    "# Introduction\n\nMachine learning is",
]
CHATS = [
    [("user", "What is the capital of France?")],
    [("system", "You answer in one sentence."), ("user", "Why is the sky blue?")],
    [("user", "Name three colours."), ("assistant", "Red, green and blue."),
     ("user", "Now three animals.")],
]
# For a model without a template: the one that its instruction-tuned sisters were trained with.
GEMMA_TEMPLATE = (
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n"
    "{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n")


def prompts_of(model, path):
    reader = gguf.GGUFReader(path)
    template = reader.fields.get("tokenizer.chat_template")
    template = template.contents() if template else GEMMA_TEMPLATE
    add_bos = reader.fields["tokenizer.ggml.add_bos_token"].contents()
    end = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    render = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template).render
    ids = [model.tokenize(text.encode(), add_special=add_bos) for text in PROMPTS]
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        text = render(messages=messages, add_generation_prompt=True)
        ids.append(model.tokenize(text.encode(), add_special=add_bos, parse_special=True))
    return ids, add_bos, end


def greedy(context, prompt, end):
    """Tokens after the prompt until the end token, which is the last, and the top-two margins."""
    context.clear()
    logits = context.decode(prompt, len(prompt) - 1)[0]
    tokens, margins = [], []
    while True:
        second, first = np.argsort(logits)[-2:]
        tokens.append(int(first))
        margins.append(float(logits[first] - logits[second]))
        if len(tokens) == N_TOKENS or first == end:
            return tokens, margins
        logits = context.decode([first], 0)[0]


def logits_along(model, prompt, tokens, **options):
    """Logits of every place of a known continuation, prompt and tokens in one batch."""
    context = model.context(len(prompt) + len(tokens), threads=THREADS, **options)
    logits = context.decode(prompt + tokens[:-1], len(prompt) - 1)
    context.close()
    return logits


def margins_over(logits, tokens):
    """By how much each token is ahead of the best other one; negative: another won."""
    rows = np.arange(len(tokens))
    others = logits.copy()
    others[rows, tokens] = -np.inf
    return logits[rows, tokens] - others.max(axis=1)


def noise(model, variants, cases):
    """How far other ways to compute the same move the logit difference of the two best tokens.

    Lowers the margins of the cases to the least that any way gives."""
    moved = {name: [] for name in variants}
    flips = {name: 0.0 for name in variants}
    for prompt, tokens, least in cases:
        logits = logits_along(model, prompt, tokens)
        rows = np.arange(len(tokens))
        second, first = np.argsort(logits, axis=1)[:, -2:].T
        margin = logits[rows, first] - logits[rows, second]
        for name, (other, options) in variants.items():
            theirs = logits_along(other, prompt, tokens, **options)
            moved[name] += list(np.abs(theirs[rows, first] - theirs[rows, second] - margin))
            changed = theirs.argmax(axis=1) != first
            flips[name] = max([flips[name], *margin[changed]])
            least[:] = np.minimum(least, margins_over(theirs, tokens))
    return [
        f"# {name}: margins move by {np.median(m):.4f} (median), {np.quantile(m, 0.99):.4f} (99 %), "
        f"{max(m):.4f} (most); greatest margin at which another token won {flips[name]:.4f}"
        for name, m in moved.items()
    ]


def write_exact(path, target):
    """The same model with its weights as F32: nothing is quantised while it computes."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if not key.startswith(("GGUF.", "general.architecture", "general.file_type")):
            item = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=item)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def perplexity(model, ids, bos):
    context = model.context(WINDOW, threads=THREADS)
    total, n, chunks = 0.0, 0, len(ids) // WINDOW
    for i in range(chunks):
        window = ids[i * WINDOW : (i + 1) * WINDOW]
        if bos is not None:
            window[0] = bos
        context.clear()
        logits = context.decode(window, WINDOW // 2)[:-1].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        wanted = window[WINDOW // 2 + 1 :]
        total -= logprobs[np.arange(len(wanted)), wanted].sum()
        n += len(wanted)
    context.close()
    return float(np.exp(total / n)), chunks, n


def make(library, folder, name, path, scratch):
    model = llama_library.Model(library, path)
    prompts, add_bos, end = prompts_of(model, path)
    context = model.context(512, threads=THREADS)
    cases = [(prompt, *greedy(context, prompt, end)) for prompt in prompts]
    context.close()
    lines = [f"# {llama_library.version()}, greedy, F16 KV, no flash attention, {path.name}"]
    variants = {
        "flash attention": (model, {"flash": llama_library.FLASH_ON}),
        "F32 KV": (model, {"kv_type": llama_library.F32}),
    }
    write_exact(path, scratch / "exact.gguf")
    variants["F32 weights"] = (llama_library.Model(library, scratch / "exact.gguf"), {})
    lines += noise(model, variants, cases)
    ids = model.tokenize(TEXT.read_bytes(), add_special=add_bos)
    value, chunks, n = perplexity(model, ids, ids[0] if add_bos else None)
    (folder / f"{name}.perplexity.txt").write_text(
        f"perplexity {value:.6f} {TEXT.name} {WINDOW} {chunks} {n}\n")
    for prompt, tokens, margins in cases:
        lines.append("prompt " + " ".join(map(str, prompt)))
        lines.append("tokens " + " ".join(map(str, tokens)))
        lines.append("margin " + " ".join(f"{m:.4f}" for m in margins))
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[:6]), model.detokenize(cases[0][1]), model.detokenize(cases[-1][1]))


def main():
    folder = pathlib.Path(sys.argv[1])
    library = llama_library.load_library()
    for argument in sys.argv[2:]:
        name, path = argument.split("=")
        with tempfile.TemporaryDirectory() as scratch:
            make(library, folder, name, pathlib.Path(path), pathlib.Path(scratch))


if __name__ == "__main__":
    main()
