#!/usr/bin/env python3
"""Makes tiny random models of each architecture, as GGUF files, and their golden logits.

Oracle: transformers (float32, eager attention) for the logits; the gguf package for the files.
Output: tests/golden/models/NAME.gguf, NAME.logits.bin and NAME.hidden.bin, whose format
tests/golden/models/README.md gives.
Command: pip install torch transformers gguf numpy && tools/make_golden/tiny_models.py tests/golden/models
"""

import pathlib
import struct
import sys

import gguf
import numpy as np
import torch
import transformers

HIDDEN, HEADS, KV_HEADS, FFN, VOCABULARY, TOKENS, CONTEXT = 64, 4, 2, 96, 320, 80, 128
COMMON = dict(
    vocab_size=VOCABULARY,
    hidden_size=HIDDEN,
    intermediate_size=FFN,
    num_attention_heads=HEADS,
    num_key_value_heads=KV_HEADS,
    max_position_embeddings=CONTEXT,
    attn_implementation="eager",
    bos_token_id=256,
    eos_token_id=257,
    pad_token_id=258,
)
LONGROPE = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    original_max_position_embeddings=32,
    short_factor=[1.0 + 0.02 * i for i in range(8)],
    long_factor=[1.0 + 0.3 * i for i in range(8)],
)
GEMMA_ROPE = {
    "full_attention": dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
    "sliding_attention": dict(rope_type="default", rope_theta=10000.0),
}
GEMMA_LAYERS = ["sliding_attention"] * 5 + ["full_attention"]
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
YARN_ROPE = dict(
    rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=32
)

# name -> architecture, configuration's changes
MODELS = {
    "llama_untied": ("llama", dict(num_hidden_layers=2, tie_word_embeddings=False)),
    "llama_tied": ("llama", dict(num_hidden_layers=2, tie_word_embeddings=True)),
    "llama_linear": (
        "llama",
        dict(
            num_hidden_layers=2,
            tie_word_embeddings=True,
            rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=10000.0),
        ),
    ),
    "llama_llama3": (
        "llama",
        dict(num_hidden_layers=2, tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE),
    ),
    "llama_yarn": (
        "llama",
        dict(num_hidden_layers=2, tie_word_embeddings=True, rope_parameters=YARN_ROPE),
    ),
    "gemma3": (
        "gemma3",
        dict(
            num_hidden_layers=6,
            head_dim=16,
            query_pre_attn_scalar=16,
            sliding_window=16,
            layer_types=GEMMA_LAYERS,
            rope_parameters=GEMMA_ROPE,
            hidden_activation="gelu_pytorch_tanh",
            tie_word_embeddings=True,
        ),
    ),
    "qwen2": ("qwen2", dict(num_hidden_layers=2, tie_word_embeddings=True)),
    "qwen3": ("qwen3", dict(num_hidden_layers=2, head_dim=32, tie_word_embeddings=False)),
    "phi3": ("phi3", dict(num_hidden_layers=2, tie_word_embeddings=False)),
    "phi3_longrope": (
        "phi3",
        dict(
            num_hidden_layers=2,
            tie_word_embeddings=False,
            original_max_position_embeddings=32,
            rope_parameters=LONGROPE,
        ),
    ),
}

CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "gemma3": (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    "phi3": (transformers.Phi3Config, transformers.Phi3ForCausalLM),
}

# The part of a tensor's name behind its layer, in both worlds.
LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OTHER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def gguf_name(name, architecture):
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    if architecture == "gemma3" and stem == "post_attention_layernorm":
        return f"blk.{layer}.post_attention_norm.{kind}"
    return f"blk.{layer}.{LAYER_NAMES[stem]}.{kind}"


def convert(name, tensor, architecture):
    """A tensor as the GGUF file has it."""
    value = tensor.detach().to(torch.float32).numpy()
    if architecture == "gemma3" and name.endswith("norm.weight"):
        return value + 1.0
    heads = HEADS if "q_proj" in name else KV_HEADS if "k_proj" in name else 0
    if architecture == "llama" and heads:
        # Pairs of a head that rotate together become neighbours.
        split = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
        return np.ascontiguousarray(split.swapaxes(1, 2).reshape(value.shape))
    return value


def byte_alphabet():
    """GPT-2's printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def add_tokenizer(writer):
    alphabet = byte_alphabet()
    specials = ["<|bos|>", "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
    space = alphabet[0x20]
    pairs = [(space, "t"), ("h", "e"), ("i", "n"), ("a", "n"), ("r", "e"), ("o", "n"),
             (space + "t", "he"), ("e", "r"), (space, "a"), (space, "s"), ("in", "g"),
             ("an", "d"), (space, "c"), (space, "w"), ("i", "s"), ("e", "n")]
    tokens = alphabet + specials + [a + b for a, b in pairs]
    types = [1] * 256 + [3] * len(specials) + [1] * len(pairs)
    while len(tokens) < VOCABULARY:
        tokens.append(f"<|unused{len(tokens)}|>")
        types.append(5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(260)
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
        "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )


def add_rope(writer, architecture, config):
    parameters = config.rope_parameters
    if architecture == "gemma3":
        writer.add_rope_freq_base(parameters["full_attention"]["rope_theta"])
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(parameters["full_attention"]["factor"])
        writer.add_sliding_window(config.sliding_window)
        return
    writer.add_rope_freq_base(parameters["rope_theta"])
    kind = parameters["rope_type"]
    head = getattr(config, "head_dim", None) or HIDDEN // HEADS
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(parameters["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(parameters["original_max_position_embeddings"])
    elif kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(parameters, head))
    elif kind == "longrope":
        original = parameters["original_max_position_embeddings"]
        scale = CONTEXT / original
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
        for length in ("short", "long"):
            factors = np.array(parameters[f"{length}_factor"], dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)


def llama3_factors(parameters, head):
    """Divisors of theta by pair: what Llama 3.1's report calls its frequency scaling."""
    exponents = np.arange(0, head, 2, dtype=np.float64) / head
    wavelengths = 2 * np.pi * parameters["rope_theta"] ** exponents
    original, factor = parameters["original_max_position_embeddings"], parameters["factor"]
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def write_model(path, architecture, model, config, half):
    writer = gguf.GGUFWriter(path, architecture)
    # llama.cpp expects Phi 3's own special tokens in whatever is named after it.
    writer.add_name(path.stem.replace("phi3", "phi"))
    writer.add_license("Apache-2.0")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    head = getattr(config, "head_dim", None) or HIDDEN // HEADS
    writer.add_key_length(head)
    writer.add_value_length(head)
    if architecture in ("llama", "phi3"):
        writer.add_rope_dimension_count(head)
    if architecture == "phi3":
        writer.add_sliding_window(0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    add_rope(writer, architecture, config)
    add_tokenizer(writer)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        value = convert(name, tensor, architecture)
        if half and value.ndim == 2:
            value = value.astype(np.float16)
        writer.add_tensor(gguf_name(name, architecture), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def randomise(model, half):
    """Weights large enough that logits differ; rounded to F16 first where the file will be F16."""
    generator = torch.Generator().manual_seed(20)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("norm.weight"):
                tensor.add_(noise * 0.1)
            elif tensor.ndim == 1:
                tensor.copy_(noise * 0.1)
            else:
                tensor.copy_(noise * (0.6 if "embed" in name else tensor.shape[1] ** -0.5))
                if half:
                    tensor.copy_(tensor.to(torch.float16).to(torch.float32))


def make(folder, name, architecture, changes, half):
    config_class, model_class = CLASSES[architecture]
    config = config_class(**{**COMMON, **changes})
    torch.manual_seed(0)
    model = model_class(config).to(torch.float32).eval()
    randomise(model, half)
    stem = name + ("_f16" if half else "")
    write_model(folder / f"{stem}.gguf", architecture, model, config, half)
    tokens = np.random.default_rng(7).integers(0, 256, TOKENS).astype(np.uint32)
    with torch.no_grad():
        ids = torch.tensor(tokens.astype(np.int64))[None]
        logits = model(ids).logits[0].numpy()
        hidden = model.model(ids).last_hidden_state[0, -1].numpy()
    oracle = f"transformers {transformers.__version__}, torch {torch.__version__}".encode()
    with open(folder / f"{stem}.logits.bin", "wb") as file:
        file.write(b"RGLD")
        file.write(struct.pack("<III", TOKENS, VOCABULARY, len(oracle)))
        file.write(oracle)
        file.write(tokens.astype("<u4").tobytes())
        file.write(logits.astype("<f4").tobytes())
    (folder / f"{stem}.hidden.bin").write_bytes(hidden.astype("<f4").tobytes())
    print(f"{stem}: logits {logits.std():.2f} (std), {oracle.decode()}")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (architecture, changes) in MODELS.items():
        make(folder, name, architecture, changes, half=False)
        if name in ("llama_tied", "gemma3", "qwen2", "qwen3", "phi3"):
            make(folder, name, architecture, changes, half=True)


if __name__ == "__main__":
    main()
