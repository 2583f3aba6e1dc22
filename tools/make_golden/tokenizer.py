#!/usr/bin/env python3
"""Makes token ids of 2,800 strings by tokenizers that nobody here wrote.

Oracles: Hugging Face's `tokenizers` for byte-level BPE, Google's `sentencepiece` for SentencePiece, both
built from the vocabulary in a GGUF file; and llama.cpp (PyPI xllamacpp), which reads the file itself.
Special tokens in the text are recognised; none is added around it.
Output: strings.bin, NAME.ids.bin and NAME.notes.md; tests/golden/README.md gives the formats.
Command: pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf gguf==0.19.0 xllamacpp==2026.10.11549
         tools/make_golden/tokenizer.py tests/golden/tokenizer NAME=FILE.gguf ...
"""

import importlib.metadata
import pathlib
import re
import struct
import sys

import gguf
import tokenizers
from tokenizers import models, pre_tokenizers

import llama_library
import tokenizer_strings

# In place of a count: nothing to compare with but the text itself; the oracles disagree.
NO_IDS, DISPUTED = 0xFFFFFFFF, 0xFFFFFFFE
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


PRETOKENIZERS = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    "smollm": lambda: pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ]),
    "llama-bpe": lambda: split(LLAMA3),
    "qwen2": lambda: split(QWEN2),
}


class ByteLevel:
    """Hugging Face's tokenizers, for a byte-level BPE vocabulary."""

    name = "tokenizers " + tokenizers.__version__

    def __init__(self, fields):
        pre = fields["tokenizer.ggml.pre"].contents()
        tokens = fields["tokenizer.ggml.tokens"].contents()
        types = fields["tokenizer.ggml.token_type"].contents()
        merges = [tuple(m.split(" ", 1)) for m in fields["tokenizer.ggml.merges"].contents()]
        ids = {}
        for i, token in enumerate(tokens):
            ids.setdefault(token, i)
        known = [m for m in merges if {m[0], m[1], m[0] + m[1]} <= ids.keys()]
        self.tokenizer = tokenizers.Tokenizer(
            models.BPE(ids, known, ignore_merges=pre == "llama-bpe"))
        self.tokenizer.pre_tokenizer = PRETOKENIZERS[pre]()
        self.tokenizer.add_special_tokens([
            tokenizers.AddedToken(token, normalized=False, special=True)
            for token, kind in zip(tokens, types) if kind in (CONTROL, USER_DEFINED)
        ])

    def encode(self, data):
        """None for what is not UTF-8: it takes text only."""
        if not tokenizer_strings.is_valid(data):
            return None
        return self.tokenizer.encode(data.decode(), add_special_tokens=False).ids


class Pieces:
    """Google's sentencepiece, for a vocabulary with scores."""

    name = "sentencepiece " + importlib.metadata.version("sentencepiece")

    def __init__(self, fields):
        from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

        model = sentencepiece_model_pb2.ModelProto()
        model.trainer_spec.model_type = model.trainer_spec.BPE
        model.trainer_spec.byte_fallback = True
        model.normalizer_spec.name = "identity"
        prefix = fields.get("tokenizer.ggml.add_space_prefix")
        model.normalizer_spec.add_dummy_prefix = prefix.contents() if prefix else True
        model.normalizer_spec.remove_extra_whitespaces = False
        self.specials = {}
        rows = zip(*(fields[f"tokenizer.ggml.{k}"].contents() for k in ("tokens", "scores", "token_type")))
        for i, (token, score, kind) in enumerate(rows):
            user_defined = kind == USER_DEFINED
            text = token.replace(" ", "\u2581") if user_defined else token
            model.pieces.add(piece=text, score=score, type=kind)
            if kind in (UNKNOWN, CONTROL):
                self.specials[token] = i
        self.processor = SentencePieceProcessor(model_proto=model.SerializeToString())
        self.prefix = " " if model.normalizer_spec.add_dummy_prefix else ""
        model.normalizer_spec.add_dummy_prefix = False
        self.bare = SentencePieceProcessor(model_proto=model.SerializeToString())
        names = sorted(self.specials, key=len, reverse=True)
        self.pattern = re.compile("(" + "|".join(map(re.escape, names)) + ")")

    def encode(self, data):
        """Bytes that are not UTF-8 become their byte tokens; it sees only the text between them."""
        ids = []
        for part in self.pattern.split(data.decode("utf-8", "surrogateescape")):
            if part in self.specials:
                ids.append(self.specials[part])
            elif tokenizer_strings.is_valid(data):
                ids += self.processor.encode(part)
            elif part:
                ids += self.encode_broken(self.prefix + part)
        return ids

    def encode_broken(self, part):
        """Each invalid byte 0x80-0xFF is a character U+DC80-U+DCFF here."""
        ids = []
        for run in re.split("([\udc80-\udcff])", part):
            if run and "\udc80" <= run <= "\udcff":
                ids.append(self.bare.piece_to_id(f"<0x{ord(run) - 0xDC00:02X}>"))
            else:
                ids += self.bare.encode(run)
        return ids


def hash_of(ids):
    """FNV-1a, 64 bit, of the ids as little-endian 32 bit numbers."""
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def write_ids(file, repeat, ids):
    if ids in (NO_IDS, DISPUTED):
        file.write(struct.pack("<I", ids))
    elif repeat == 1:
        file.write(struct.pack(f"<I{len(ids)}I", len(ids), *ids))
    else:
        file.write(struct.pack("<IQ", len(ids), hash_of(ids)))


def make(library, folder, strings, name, path):
    """Writes the ids, and in words what the two oracles disagree on."""
    fields = gguf.GGUFReader(path).fields
    scored = fields["tokenizer.ggml.model"].contents() == "llama"
    oracle = Pieces(fields) if scored else ByteLevel(fields)
    second = llama_library.Model(library, path, vocab_only=True)
    lines, n_broken, n_broken_same, n_whole_same = [], 0, 0, 0
    with open(folder / f"{name}.ids.bin", "wb") as file:
        file.write(struct.pack("<I", len(strings)))
        for number, (repeat, data) in enumerate(strings):
            ids = oracle.encode(data * repeat)
            broken = not tokenizer_strings.is_valid(data * repeat)
            n_broken += broken
            if ids is None:
                ids = NO_IDS  # llama.cpp puts U+FFFD for such bytes, or ends the process
            else:
                others = second.tokenize(data * repeat, parse_special=True)
                n_broken_same += broken and ids == others
                n_whole_same += not broken and ids == others
                # Written out, U+2581 is a space to one, to user-defined tokens of spaces, not to the other.
                if ids != others and (not broken or "\u2581".encode() in data):
                    lines.append(describe(number, repeat, data, ids, others))
                    ids = DISPUTED
            write_ids(file, repeat, ids)
    head = [f"# {name}: {oracle.name} and {llama_library.version()}", ""]
    if scored:
        head.append(f"{n_broken} strings are not UTF-8; llama.cpp gives the same ids for {n_broken_same} of them.")
    elif n_broken:
        head.append(f"{n_broken} strings are not UTF-8: neither takes bytes, no ids are given.")
    n_whole = len(strings) - n_broken
    head.append(f"{n_whole_same} of {n_whole} agree.")
    print(name, *head[2:], flush=True)
    (folder / f"{name}.notes.md").write_text("\n".join(head + lines) + "\n")


def describe(number, repeat, data, ids, others):
    first = next((i for i, pair in enumerate(zip(ids, others)) if pair[0] != pair[1]), 0)
    return (f"- string {number} ({repeat} x `{ascii(data.decode(errors='backslashreplace'))[:60]}`), from token {first}: "
            f"{ids[first:first + 6]} against {others[first:first + 6]}")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    strings = tokenizer_strings.make_strings()
    with open(folder / "strings.bin", "wb") as file:
        file.write(struct.pack("<I", len(strings)))
        for repeat, data in strings:
            file.write(struct.pack("<II", repeat, len(data)) + data)
    library = llama_library.load_library()
    for argument in sys.argv[2:]:
        name, path = argument.split("=", 1)
        make(library, folder, strings, name, path)


if __name__ == "__main__":
    main()
