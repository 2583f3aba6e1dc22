"""Small guest programs for tests of the server."""

import json
import os
from pathlib import Path

import wasmtime

GUESTS = Path(os.environ["REALM_TEST_DATA"]) / "guests"


def guest(name):
    """A module of tests/guests."""
    return wasmtime.wat2wasm((GUESTS / f"{name}.wat").read_text())


def quoted(text):
    return "".join(f"\\{byte:02x}" for byte in text.encode())


def speaker(text="", result="", event="", log="", code=0, functions=None, spin=False):
    """A module that emits what it is told to, whatever it is asked, and ends with a code, or never."""
    pieces = [("emit", 0, text), ("emit", 1, event), ("log", 2, log), ("emit", 2, result)]
    data, calls, at = [], [], 0
    for call, kind, words in pieces:
        if words:
            size = len(words.encode())
            data.append(f'(data (i32.const {at}) "{quoted(words)}")')
            calls.append(f"(drop (call ${call} (i32.const {kind}) (i32.const {at}) (i32.const {size})))")
            at += size
    names = {"realm_run", *(function["name"] for function in functions or [])}
    exports = " ".join(f'(export "{name}")' for name in sorted(names))
    section = ""
    if functions:
        section = f'(@custom "realm.functions" "{quoted(json.dumps(functions))}")'
    return wasmtime.wat2wasm(f"""(module {section}
      (import "realm_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
      (import "realm_v1" "log" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1) {" ".join(data)}
      (func {exports} (result i32) {" ".join(calls)} {"(loop (br 0))" if spin else ""} (i32.const {code})))""")


ECHO = """(module
  (import "realm_v1" "request_read" (func $read (param i32 i32 i32) (result i32)))
  (import "realm_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "realm_run") (result i32)
    (drop (call $emit (i32.const 2) (i32.const 0)
      (call $read (i32.const 0) (i32.const 0) (i32.const 65536))))
    (call $emit (i32.const 1) (i32.const 65536)
      (call $read (i32.const 1) (i32.const 65536) (i32.const 65536)))))"""


def echo():
    """Gives the request's body back as its result, and what the server says of it as an event."""
    return wasmtime.wat2wasm(ECHO)
