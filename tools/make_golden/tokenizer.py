#!/usr/bin/env python3
"""Token ids of 2,400 strings by tokenizers that nobody here wrote.

Oracles: Hugging Face's `tokenizers` for byte-level BPE, Google's `sentencepiece` for SentencePiece; both are built from the
vocabulary in a GGUF file.  Special tokens in the text are recognised.
Output: strings.bin and NAME.ids.bin, whose format tests/golden/tokenizer/README.md gives.
Command: pip install tokenizers sentencepiece protobuf gguf && tools/make_golden/tokenizer.py \\
             tests/golden/tokenizer NAME=FILE.gguf ...
"""

import pathlib
import random
import struct
import sys

import gguf
import tokenizers
from tokenizers import models, pre_tokenizers

PHRASES = """Hello, world! It's 9:45 o'clock; we'll see what they've done.
The quick brown fox jumps over the lazy dog.
Ça va? L'été déjà fini, où êtes-vous allés à Noël?
Größe, Straße, Fußball, ÄÖÜ äöü ß
El niño comió piña mañana. ¿Qué tal? ¡Olé!
Smørrebrød på bryggen, blåbærsyltetøy og rømme
Příliš žluťoučký kůň úpěl ďábelské ódy
Zażółć gęślą jaźń
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul ığdır
Съешь же ещё этих мягких французских булок, да выпей чаю
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία
דג סקרן שט בים מאוכזב ולפתע מצא חברה
صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت ١٢٣٤٥
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण १२३
আমি বাংলায় গান গাই
தமிழ் மொழி மிகவும் பழமையானது
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า
ພາສາລາວ ສະບາຍດີ
ကျွန်တော် မြန်မာစကား ပြောတတ်တယ်
ქართული ენა ლამაზია
Հայոց լեզու
いろはにほへと ちりぬるを カタカナ ﾊﾝｶｸ 漢字
天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。
简体中文测试：人工智能正在改变世界。
키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다
Tiếng Việt có nhiều dấu: ă â đ ê ô ơ ư
😀 😃 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷🇩🇪 ❤️‍🔥 1️⃣
∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β → γ ≠ ∅ √2 ≈ 1.41421356
def f(x: int) -> int:\n    return x ** 2  # square
for (int i = 0; i < n; ++i) {\n\ta[i] += b[i];\n}
<div class="a">&nbsp;<br/></div>
SELECT * FROM t WHERE a >= 10 AND b IN (1, 22, 333, 4444, 55555);
{"key": [1, 2.5, -3e10, null, true], "s": "\\u00e9\\n"}
https://example.org/path?q=a%20b&c=d#frag user@example.org
C:\\Users\\name\\file.txt /usr/lib/x86_64-linux-gnu/libc.so.6
1234567890 3.14159 0xDEADBEEF 1,000,000 12:34:56 2024-02-29
ALLCAPS MixedCase camelCase snake_case kebab-case SCREAMING_SNAKE
don't won't can't I'd I'll I'm they're we've DON'T I'LL THEY'RE
---===+++***///\\\\\\||| !!! ??? ... ,,, ;;; ::: @@@ ### $$$ %%% ^^^ &&&
“curly” ‘quotes’ — em–dash … ellipsis • bullet ™ ® © § ¶
e\u0301 vs \u00e9, A\u030a vs \u00c5, \ufb01 ligature, \u200bzero\u200dwidth\u2060
\u00a0nbsp\u2003em\u3000ideographic\u2028line\u0085nel
\x00\x01\x1b[31mred\x1b[0m\x7f
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 𓀀 🀄 \U0010fffd""".split("\n")
PHRASES = [p.encode().decode("unicode_escape").encode("latin-1", "surrogatepass").decode("utf-8", "replace")
           if p.isascii() and "\\" in p and "Users" not in p else p for p in PHRASES]
SPACES = ["", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", " \n", "\n ", "\r\n", "\r\n\r\n",
          " " * 7, " " * 16, "\n" * 5, " \t ", "\u00a0", "\u3000 ", "\v\f"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<start_of_turn>", "<bos>",
           "<|eot_id|>", "<|begin_of_text|>", "<|im_start", "im_end|>"]


def make_strings():
    """(repeat, bytes) of each string; repeated ones are the long inputs."""
    rng = random.Random(42)
    strings = [(1, p) for p in PHRASES] + [(1, s) for s in SPACES]
    strings += [(1, s + p) for p in PHRASES for s in (" ", "\n", "  ")]
    characters = "".join(PHRASES)
    while len(strings) < 1000:
        strings.append((1, "".join(rng.choice(characters) for _ in range(rng.randint(1, 40)))))
    while len(strings) < 2000:
        parts = []
        for _ in range(rng.randint(1, 4)):
            phrase = rng.choice(PHRASES)
            begin = rng.randrange(len(phrase))
            parts += [phrase[begin : begin + rng.randint(1, 30)], rng.choice(SPACES)]
        strings.append((1, "".join(parts)))
    while len(strings) < 2200:
        strings.append((1, rng.choice(PHRASES)[:12] + rng.choice(SPECIAL) + rng.choice(PHRASES)[:12]))
    while len(strings) < 2390:
        strings.append((1, "".join(chr(rng.choice([rng.randrange(0x20, 0x7F), rng.randrange(0xA0, 0x3000),
                                                   rng.randrange(0x3000, 0xD800), rng.randrange(0x1F300, 0x1FAFF)]))
                                   for _ in range(rng.randint(1, 24)))))
    for text in ["a", " ", "ab", "\n", "0", "é", "漢", "The cat sat. ", "x = 1;\n", "😀"]:
        strings.append((100000 // len(text.encode()), text))
    return [(repeat, text.encode("utf-8")) for repeat, text in strings]


def array(reader, key):
    field = reader.fields[key]
    return [field.parts[i] for i in field.data]


def text_of(reader, key):
    field = reader.fields.get(key)
    return bytes(field.parts[field.data[0]]).decode() if field else ""


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
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
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]),
    "llama-bpe": lambda: split(LLAMA3),
    "qwen2": lambda: split(QWEN2),
}


def bpe_encoder(reader):
    pre = text_of(reader, "tokenizer.ggml.pre")
    tokens = [bytes(t).decode() for t in array(reader, "tokenizer.ggml.tokens")]
    types = [int(t[0]) for t in array(reader, "tokenizer.ggml.token_type")]
    merges = [tuple(bytes(m).decode().split(" ", 1)) for m in array(reader, "tokenizer.ggml.merges")]
    vocabulary = {}
    for i, token in enumerate(tokens):
        vocabulary.setdefault(token, i)
    known = [m for m in merges if m[0] in vocabulary and m[1] in vocabulary and m[0] + m[1] in vocabulary]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, known, ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = PRETOKENIZERS[pre]()
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, normalized=False, special=True)
                                  for t, kind in zip(tokens, types) if kind in (3, 4)])
    return lambda data: tokenizer.encode(data.decode("utf-8"), add_special_tokens=False).ids


def spm_encoder(reader):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as proto

    model = proto.ModelProto()
    model.trainer_spec.model_type = 2  # BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    prefix = reader.fields.get("tokenizer.ggml.add_space_prefix")
    model.normalizer_spec.add_dummy_prefix = bool(prefix.parts[prefix.data[0]][0]) if prefix else True
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    kinds = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}
    rows = zip(array(reader, "tokenizer.ggml.tokens"), array(reader, "tokenizer.ggml.scores"),
               array(reader, "tokenizer.ggml.token_type"))
    specials = {}
    for i, (token, score, kind) in enumerate(rows):
        text = bytes(token).decode()
        piece = model.pieces.add()
        piece.piece = text.replace(" ", "\u2581") if int(kind[0]) == 4 else text
        piece.score = float(score[0])
        piece.type = kinds[int(kind[0])]
        if int(kind[0]) == 3:
            specials[text] = i
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    dummy = model.normalizer_spec.add_dummy_prefix

    def encode(data):
        import re
        text = data.decode("utf-8")
        ids = []
        names = sorted(specials, key=len, reverse=True)
        for part in re.split("(" + "|".join(map(re.escape, names)) + ")", text) if names else [text]:
            if part in specials:
                ids.append(specials[part])
            elif part:
                ids += processor.encode(part)
        return ids

    _ = dummy
    return encode


def hash_ids(ids):
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def main():
    folder = pathlib.Path(sys.argv[1])
    strings = make_strings()
    with open(folder / "strings.bin", "wb") as file:
        file.write(struct.pack("<I", len(strings)))
        for repeat, data in strings:
            file.write(struct.pack("<II", repeat, len(data)) + data)
    for argument in sys.argv[2:]:
        name, path = argument.split("=", 1)
        reader = gguf.GGUFReader(path)
        byte_level = text_of(reader, "tokenizer.ggml.model") == "gpt2"
        encode = bpe_encoder(reader) if byte_level else spm_encoder(reader)
        with open(folder / f"{name}.ids.bin", "wb") as file:
            file.write(struct.pack("<I", len(strings)))
            for repeat, data in strings:
                ids = encode(data * repeat)
                file.write(struct.pack("<I", len(ids)))
                file.write(struct.pack(f"<{len(ids)}I", *ids) if repeat == 1 else struct.pack("<Q", hash_ids(ids)))
        print(name, "tokenizers " + tokenizers.__version__ if byte_level else "sentencepiece")


if __name__ == "__main__":
    main()
