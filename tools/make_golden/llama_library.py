"""llama.cpp through ctypes: what the golden scripts ask of it.  Not a script.

Oracle: the shared library inside the PyPI package xllamacpp, which exports llama.cpp's C functions.
Structures follow include/llama.h of llama.cpp; `check_layout` compares defaults that a shifted field
would spoil.
"""

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_int64, c_size_t
from ctypes import c_uint32, c_void_p
import importlib.metadata
import importlib.util
import pathlib

import numpy as np


class ModelParams(ctypes.Structure):
    _fields_ = [
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    ]


class ContextParams(ctypes.Structure):
    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("later_a", c_int64),  # not in the header of build 11434; zero by default
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    ]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


LOG_CALLBACK = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
SIGNATURES = {
    "ggml_quantize_chunk": (
        c_size_t, [c_int32, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p]),
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [LOG_CALLBACK, c_void_p]),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
    "llama_model_free": (None, [c_void_p]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_tokenize": (
        c_int32, [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]),
    "llama_detokenize": (
        c_int32, [c_void_p, POINTER(c_int32), c_int32, c_char_p, c_int32, c_bool, c_bool]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
    "llama_free": (None, [c_void_p]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_clear": (None, [c_void_p, c_bool]),
    "llama_batch_init": (Batch, [c_int32, c_int32, c_int32]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_adapter_lora_init": (c_void_p, [c_void_p, c_char_p]),
    "llama_set_adapters_lora": (c_int32, [c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float)]),
    "llama_get_logits_ith": (POINTER(c_float), [c_void_p, c_int32]),
}
FLASH_OFF, FLASH_ON = 0, 1
F32, F16 = 0, 1


def version():
    return "llama.cpp of xllamacpp " + importlib.metadata.version("xllamacpp")


@LOG_CALLBACK
def silent(_level, _text, _data):
    pass


def check_layout(library):
    model, context = library.llama_model_default_params(), library.llama_context_default_params()
    assert (model.use_extra_bufts, model.vocab_only, model.no_alloc) == (True, False, False)
    assert (context.n_ctx, context.n_batch, context.n_ubatch) == (512, 2048, 512)
    assert (context.type_k, context.type_v) == (F16, F16)
    assert (context.yarn_beta_fast, context.rope_scaling_type) == (-1.0, -1), context.yarn_beta_fast
    assert (context.n_samplers, context.offload_kqv, context.swa_full) == (0, True, True)


def load_library():
    folder = pathlib.Path(importlib.util.find_spec("xllamacpp").origin).parent
    library = ctypes.CDLL(str(next(folder.glob("xllamacpp*.so"))))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    check_layout(library)
    library.llama_log_set(silent, None)
    library.llama_backend_init()
    return library


class Model:
    """A model file, or its vocabulary alone."""

    def __init__(self, library, path, vocab_only=False):
        self.library = library
        params = library.llama_model_default_params()
        params.vocab_only, params.n_gpu_layers = vocab_only, 0
        self.handle = library.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self.vocab = library.llama_model_get_vocab(self.handle)
        self.n_vocab = library.llama_vocab_n_tokens(self.vocab)

    def tokenize(self, text, add_special=False, parse_special=False):
        room = len(text) + 16
        ids = (c_int32 * room)()
        n = self.library.llama_tokenize(
            self.vocab, text, len(text), ids, room, add_special, parse_special)
        if n < 0:
            raise RuntimeError(f"llama.cpp wants room for {-n} tokens of {len(text)} bytes")
        return list(ids[:n])

    def detokenize(self, ids, special=True):
        out = ctypes.create_string_buffer(64 * len(ids) + 64)
        n = self.library.llama_detokenize(
            self.vocab, (c_int32 * len(ids))(*ids), len(ids), out, len(out), False, special)
        return out.raw[:n]

    def context(self, n_ctx, flash=FLASH_OFF, kv_type=F16, threads=1):
        return Context(self, n_ctx, flash, kv_type, threads)

    def close(self):
        self.library.llama_model_free(self.handle)


class Context:
    """One sequence: its KV cache and what has been decoded into it."""

    def __init__(self, model, n_ctx, flash, kv_type, threads):
        self.model, self.library = model, model.library
        params = self.library.llama_context_default_params()
        params.n_ctx = params.n_batch = n_ctx
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = flash
        params.type_k = params.type_v = kv_type
        self.handle = self.library.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise RuntimeError("llama.cpp makes no context")
        self.room = n_ctx
        self.batch = self.library.llama_batch_init(n_ctx, 0, 1)
        self.n_past = 0

    def adapt(self, path):
        """From now on with a LoRA adapter's file, as strong as it says itself."""
        adapter = self.library.llama_adapter_lora_init(self.model.handle, str(path).encode())
        if not adapter:
            raise RuntimeError(f"llama.cpp does not load {path}")
        adapters, scales = (c_void_p * 1)(adapter), (c_float * 1)(1.0)
        if self.library.llama_set_adapters_lora(self.handle, adapters, 1, scales):
            raise RuntimeError(f"llama.cpp does not take {path}")

    def clear(self):
        self.library.llama_memory_clear(self.library.llama_get_memory(self.handle), True)
        self.n_past = 0

    def decode(self, tokens, first_wanted):
        """Appends tokens; logits of tokens[first_wanted:], rows x vocabulary."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = int(token), self.n_past + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = i >= first_wanted
        status = self.library.llama_decode(self.handle, batch)
        if status:
            raise RuntimeError(f"llama_decode: {status}")
        self.n_past += len(tokens)
        rows = [
            np.ctypeslib.as_array(
                self.library.llama_get_logits_ith(self.handle, i), (self.model.n_vocab,)).copy()
            for i in range(first_wanted, len(tokens))
        ]
        return np.stack(rows)

    def close(self):
        self.library.llama_batch_free(self.batch)
        self.library.llama_free(self.handle)
