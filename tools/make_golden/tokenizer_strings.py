"""The strings that tokenizers are compared on: many scripts, emoji, code, whitespace runs, numbers,
contractions, special tokens, invalid UTF-8, and 100 KB inputs.  Not a script; seeded, so always the same.
"""

import random

LANGUAGES = [
    "Hello, world! It's 9:45 o'clock; we'll see what they've done.",
    "The quick brown fox jumps over the lazy dog.",
    "Ça va? L'été déjà fini, où êtes-vous allés à Noël?",
    "Größe, Straße, Fußball, ÄÖÜ äöü ß",
    "El niño comió piña mañana. ¿Qué tal? ¡Olé!",
    "Smørrebrød på bryggen, blåbærsyltetøy og rømme",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Zażółć gęślą jaźń",
    "Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul ığdır",
    "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت ١٢٣٤٥",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण १२३",
    "আমি বাংলায় গান গাই", "ਪੰਜਾਬੀ ਬੋਲੀ", "ગુજરાતી ભાષા ૧૨૩", "ଓଡ଼ିଆ ଭାଷା",
    "தமிழ் மொழி மிகவும் பழமையானது", "తెలుగు భాష", "ಕನ್ನಡ ನುಡಿ", "മലയാളം അക്ഷരമാല", "සිංහල භාෂාව",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า", "ພາສາລາວ ສະບາຍດີ", "ကျွန်တော် မြန်မာစကား ပြောတတ်တယ်",
    "ភាសាខ្មែរ", "བོད་སྐད་", "ქართული ენა ლამაზია", "Հայոց լեզու", "አማርኛ ቋንቋ", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ⵜⴰⵎⴰⵣⵉⵖⵜ",
    "いろはにほへと ちりぬるを カタカナ ﾊﾝｶｸ 漢字", "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。",
    "简体中文测试：人工智能正在改变世界。", "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다",
    "Tiếng Việt có nhiều dấu: ă â đ ê ô ơ ư", "ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ", "Ꭰ Ꭱ ߒߞߏ ꓡꓲꓢꓴ ꯃꯤꯇꯩ 𞤀𞤣𞤤𞤢𞤥",
]
SYMBOLS = [
    "😀 😃 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷🇩🇪 ❤️‍🔥 1️⃣", "👩🏾‍💻🧑🏻‍🤝‍🧑🏿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "☺︎☺️",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β → γ ≠ ∅ √2 ≈ 1.41421356", "H₂O + x² = ½·¾ ⅓ Ⅻ ⑳ ㊿ ٪",
    "“curly” ‘quotes’ — em–dash … ellipsis • bullet ™ ® © § ¶", "€£¥₹₿ ¢",
    "e\u0301 vs \u00e9, A\u030a vs \u00c5, \ufb01 ligature, \u200bzero\u200dwidth\u2060\ufeff",
    "\u00a0nbsp\u2003em\u3000ideographic\u2028line\u0085nel\u202fnarrow\u1680ogham",
    "\x00\x01\x1b[31mred\x1b[0m\x7f\x80\x9f", "Z̴̡̛a̷̧l̶͙g̵͎o̸͓ t̸e̷x̵t̶",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 𓀀 🀄 \U0010fffd \ufffd \ufffe", "ＦＵＬＬ　ｗｉｄｔｈ １２３", "ǅ ǈ ʰ ˠ ª º ⁿ ͅ",
    "▁▁ ▁word Ġword Ċ <0x0A> <0xE2>",
]
CODE = [
    "def f(x: int) -> int:\n    return x ** 2  # square\n",
    "for (int i = 0; i < n; ++i) {\n\ta[i] += b[i];\n}\n\n\n",
    "class A(B):\n    def __init__(self, *args, **kwargs):\n        super().__init__(*args)\n",
    "#include <stdint.h>\r\n\r\n#define MAX(a, b) ((a) > (b) ? (a) : (b))\r\n",
    "<div class=\"a\">&nbsp;<br/></div><!-- x --><script>var a=1;</script>",
    "SELECT * FROM t WHERE a >= 10 AND b IN (1, 22, 333, 4444, 55555);",
    "{\"key\": [1, 2.5, -3e10, null, true], \"s\": \"\\u00e9\\n\"}",
    "https://example.org/path?q=a%20b&c=d#frag user@example.org",
    "C:\\Users\\name\\file.txt /usr/lib/x86_64-linux-gnu/libc.so.6 ~/.bashrc",
    "$ ls -la | grep '^d' | awk '{print $9}' > /dev/null 2>&1 && echo \"$?\"",
    "fn main() -> Result<(), Box<dyn Error>> { println!(\"{:?}\", x?); Ok(()) }",
    "\\begin{equation} E = mc^2 \\label{eq:1} \\end{equation}",
    "| a | b |\n|---|:-:|\n| 1 | **2** |\n\n- [x] done\n    1. nested\n```c\nint x;\n```",
    "---===+++***///\\\\\\||| !!! ??? ... ,,, ;;; ::: @@@ ### $$$ %%% ^^^ &&&",
]
NUMBERS = [
    "1234567890", "3.14159", "0xDEADBEEF", "1,000,000", "12:34:56", "2024-02-29", "1e-10", "007",
    "a1b2c3", "v1.2.3-rc4", "1st 2nd 3rd", "٣٤٥ ३४५ 三四五", "100%", "$9.99", "+1 (555) 010-9999", "½1",
]
CONTRACTIONS = [
    f"{word}{quote}{tail}{after}"
    for word in ("I", "don", "WE", " they", "x'", "é", "1", "")
    for quote in ("'", "’")
    for tail in ("t", "S", "ll", "LL", "ve", "re", "d", "M", "tx", "s's")
    for after in ("", " ok")
]
SPACES = [
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", " \n", "\n ", "\r", "\r\n", "\r\n\r\n", " " * 7,
    " " * 16, " " * 33, "\n" * 5, "\n" * 31, " \t ", "\t \t", "\u00a0", "\u3000 ", "\v\f", " \u00a0 ", "\u2028\u2029",
]
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>",
    "<start_of_turn>", "<end_of_turn>", "<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>",
    "<repo_name>", "<unused5>", "<|im_start", "im_end|>", "<|im_start|>user\n", "[multimodal]", "</h1>",
]
PHRASES = LANGUAGES + SYMBOLS + CODE + NUMBERS
BROKEN = [
    b"\xff", b"\xfe\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x28\xa1", b"\xc3\x28", b"\xbf\xbf", b"\xf0\x28\x8c\xbc",
]
LONG = [
    "a", " ", "ab", "\n", "0", "é", "漢", "The cat sat. ", "x = 1;\n", "😀", "\t", "don't ", ".", "ก", "A1 ",
]


def piece(rng, most):
    phrase = rng.choice(PHRASES)
    begin = rng.randrange(len(phrase))
    return phrase[begin : begin + rng.randint(1, most)]


def any_character(rng):
    ranges = [(0x20, 0x7F), (0xA0, 0x3000), (0x3000, 0xD800), (0xE000, 0xFFFF), (0x10000, 0x1FAFF)]
    return chr(rng.randrange(*rng.choice(ranges)))


def valid_strings():
    rng = random.Random(42)
    strings = [*PHRASES, *SPACES, *CONTRACTIONS]
    strings += [space + phrase for phrase in PHRASES for space in (" ", "\n", "  ", "\t")]
    strings += [phrase + space for phrase in PHRASES for space in (" ", "\n\n", "   ")]
    strings += ["".join(rng.sample(LANGUAGES + SYMBOLS + CODE, 8)) for _ in range(40)]
    everything = "".join(PHRASES)
    for _ in range(400):
        strings.append("".join(rng.choice(everything) for _ in range(rng.randint(1, 40))))
    for _ in range(700):
        count = rng.randint(1, 4)
        strings.append("".join(piece(rng, 30) + rng.choice(SPACES) for _ in range(count)))
    for _ in range(200):
        strings.append(piece(rng, 12) + rng.choice(SPECIAL) + rng.choice(["", " ", "\n"]) + piece(rng, 12))
    strings += SPECIAL + [2 * special for special in SPECIAL]
    for _ in range(250):
        strings.append("".join(any_character(rng) for _ in range(rng.randint(1, 24))))
    return [text.encode("utf-8") for text in strings]


def invalid_strings():
    rng = random.Random(43)
    strings = list(BROKEN)
    for _ in range(80):
        strings.append(piece(rng, 12).encode() + rng.choice(BROKEN) + piece(rng, 12).encode())
    for _ in range(60):
        strings.append(rng.randbytes(rng.randint(2, 40)))
    for _ in range(40):
        text = bytearray(rng.choice(LANGUAGES).encode())
        del text[rng.randrange(len(text))]
        strings.append(bytes(text))
    return [s for s in strings if not is_valid(s)]


def is_valid(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def make_strings():
    """(repeat, bytes): the string is the bytes so many times; long ones come last."""
    long = [(100000 // len(text.encode()), text.encode()) for text in LONG]
    return [(1, data) for data in valid_strings() + invalid_strings()] + long
