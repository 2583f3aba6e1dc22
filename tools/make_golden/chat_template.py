#!/usr/bin/env python3
"""Golden renderings of chat templates, by transformers' own renderer (jinja2 in its sandbox).

    pip install transformers jinja2
    tools/make_golden/chat_template.py [FOLDER]      (default: tests/golden/chat_template)

Reads chat_templates/*.jinja (smollm2.jinja is the template of SmolLM2-135M-Instruct, Apache-2.0, as
it stands in the model's GGUF file; the others are ours, in the style of well-known models) and
chat_templates/language.txt (pieces of the language, separated by lines of four dashes), and writes
one .golden file each.  The format, with texts counted in bytes so that C reads it without a parser:

    oracle WORDS
    template N\n<N bytes>\n
    case NAME\n
    context N\n<N bytes of JSON>\n
    text N\n<N bytes>\n | raised N\n<N bytes>\n | failed 0\n\n
"""

import datetime
import json
import os
import pathlib
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import jinja2  # noqa: E402
import transformers  # noqa: E402
from transformers.utils import chat_template_utils  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
NOW = 1735123456  # Wed Dec 25 10:44:16 UTC 2024


class FrozenTime(datetime.datetime):
    """strftime_now asks for the time now; here it is always the same, in UTC."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = FrozenTime

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'Weather <now> & "later" in Zürich, 東京',
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The city's name"},
                    "days": {"type": ["integer", "null"], "minimum": 1, "default": 3},
                    "items": {"type": "array", "items": {"type": "number"}},
                    "scale": {"type": "number", "default": 1.0, "maximum": 1e20},
                },
                "required": ["city"],
            },
            "return": {"type": "string"},
        },
    },
    {
        "type": "function",
        "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}},
    },
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(name="get_weather", id="call12345", **arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text, id="call12345"):
    return {"role": "tool", "tool_call_id": id, "name": "get_weather", "content": text}


ZURICH = call(city="Zürich", days=2, scale=0.1, near=None, exact=True, list=[1, "a", 2.50, {"k": []}])
ASK = user("How is the weather?")

CASES = {
    "single_turn": {"messages": [user("Hello  \n there ")], "add_generation_prompt": True},
    "without_generation_prompt": {"messages": [user("Hello")]},
    "system": {
        "messages": [system("  Be brief.\n"), user("Hi")],
        "add_generation_prompt": True,
    },
    "multi_turn": {
        "messages": [system("s"), user("a"), assistant(" b \n"), user("c"), assistant("d"), user("e")],
        "add_generation_prompt": True,
    },
    "ends_with_assistant": {"messages": [user("a"), assistant("b")]},
    "unicode": {
        "messages": [user("Grüße 日本語 العربية 👩‍👩‍👧 \u200b\u0301 <b>&amp;</b> \"'`"), assistant("ça"), user("😀")],
        "add_generation_prompt": True,
    },
    "empty_texts": {"messages": [user(""), assistant(""), user("")], "add_generation_prompt": True},
    "looks_like_a_template": {"messages": [user("{{ 7 * 7 }}{% if %}{# x #}<|im_end|>")]},
    "thoughts": {
        "messages": [user("a"), assistant("<think>\nhm\n</think>\n\nb"), user("c"), assistant("<think>\nhm 2\n</think>\n\nd")],
    },
    "thoughts_apart": {
        "messages": [user("a"), assistant("b", reasoning_content="\nhm\n")],
        "add_generation_prompt": True,
        "enable_thinking": False,
    },
    "tools": {"messages": [system("s"), ASK], "tools": TOOLS, "add_generation_prompt": True},
    "tools_without_system": {"messages": [ASK], "tools": TOOLS, "add_generation_prompt": True},
    "tools_in_system": {
        "messages": [ASK],
        "tools": TOOLS,
        "tools_in_user_message": False,
        "date_string": "01 Jan 2025",
        "add_generation_prompt": True,
    },
    "call": {
        "messages": [ASK, assistant("", tool_calls=[ZURICH]), result('{"t": 21.5}'), assistant("21.5"), user("Thanks")],
        "tools": TOOLS,
        "add_generation_prompt": True,
    },
    "call_with_null_content": {
        "messages": [ASK, assistant(None, tool_calls=[ZURICH]), result("21 °C")],
        "tools": TOOLS,
        "add_generation_prompt": True,
    },
    "call_with_text_arguments": {
        "messages": [
            ASK,
            assistant("I look.", tool_calls=[{"id": "call12345", "type": "function", "function": {"name": "ping", "arguments": '{"a": 1}'}}]),
            result("pong"),
        ],
        "tools": TOOLS,
    },
    "two_calls": {
        "messages": [ASK, assistant("", tool_calls=[ZURICH, call("ping", "call99999")]), result("1"), result("2", "call99999")],
        "tools": TOOLS,
        "add_generation_prompt": True,
    },
    "call_with_a_bad_id": {
        "messages": [ASK, assistant("", tool_calls=[call("ping", "short")]), result("1", "short")],
        "tools": TOOLS,
    },
    "builtin_tools": {
        "messages": [ASK, {"role": "assistant", "tool_calls": [call("search", query="weather", n=3)]}, result("sun")],
        "builtin_tools": ["search", "code_interpreter"],
        "add_generation_prompt": True,
    },
    "parts": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": " one "}, {"type": "image"}, {"type": "text", "text": "two"}],
            }
        ],
        "add_generation_prompt": True,
    },
    "roles_do_not_alternate": {"messages": [user("a"), user("b")], "add_generation_prompt": True},
    "starts_with_assistant": {"messages": [assistant("b"), user("a")], "add_generation_prompt": True},
    "system_in_the_middle": {"messages": [user("b"), system("a")], "add_generation_prompt": True},
    "unknown_role": {"messages": [user("a"), {"role": "note", "content": "n"}, assistant("b"), {"role": "end", "content": ""}, user("c")]},
    "no_messages": {"messages": [], "add_generation_prompt": True},
    "message_without_content": {"messages": [{"role": "user"}]},
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

LANGUAGE = {
    "messages": [user("Hi"), assistant(None)],
    "s": "  Hello, Wörld\n",
    "t": "a,b,,c",
    "n": 3,
    "f": 1.5,
    "big": 1e20,
    "z": 0,
    "neg": -7,
    "neg0": -0.0,
    "big_i": 12345678901234567890,
    "l": [3, 1, 2],
    "ls": ["b", "A", "c"],
    "d": {"b": 1, "a": {"x": [1, 2]}, "items": 5},
    "none": None,
    "yes": True,
    "no": False,
    "e": [],
    "ed": {},
    "es": "",
    "u": "日本語😀é",
    "q": 'it\'s "q"',
    "nl": "a\nb\r\nc\x0bd",
    "nested": [[1, [2, 3]], {"k": "v"}],
    "objs": [{"n": "x", "v": 2}, {"n": "y", "v": 1}, {"n": "x"}],
    "html": "<a href='x'>&</a>",
}


def render(template, context):
    """("text", it), ("raised", its message) or ("failed", "")."""
    variables = {"tools": None, "documents": None, "add_generation_prompt": False, **context}
    try:
        return "text", template.render(**variables)
    except jinja2.exceptions.TemplateError as error:
        if type(error) is jinja2.exceptions.TemplateError:
            return "raised", str(error)
        return "failed", ""
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
        return "failed", ""


class Golden:
    def __init__(self, path):
        self.path = path
        versions = f"transformers {transformers.__version__} jinja2 {jinja2.__version__}"
        self.out = [f"oracle {versions} python {sys.version.split()[0]}\n".encode()]

    def counted(self, word, text):
        data = text.encode()
        self.out.append(f"{word} {len(data)}\n".encode() + data + b"\n")

    def template(self, source):
        self.counted("template", source)
        self.compiled = chat_template_utils._cached_compile_jinja_template(source)

    def case(self, name, context):
        self.out.append(f"case {name}\n".encode())
        self.counted("context", json.dumps({**context, "realm_now": NOW}, ensure_ascii=False))
        self.counted(*render(self.compiled, context))

    def write(self):
        self.path.write_bytes(b"".join(self.out))
        print(self.path.name, len(self.out))


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "tests/golden/chat_template"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((HERE / "chat_templates").glob("*.jinja")):
        golden = Golden(folder / (path.stem + ".golden"))
        golden.template(path.read_bytes().decode())
        for name, context in CASES.items():
            golden.case(name, {**TOKENS, **context})
        golden.write()
    golden = Golden(folder / "language.golden")
    pieces = (HERE / "chat_templates/language.txt").read_bytes().decode()
    for number, piece in enumerate(pieces.removesuffix("\n").split("\n----\n")):
        golden.template(piece)
        golden.case(f"piece_{number}", LANGUAGE)
    golden.write()


main()
