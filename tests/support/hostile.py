"""Hostile guests for tests and measurements of a server: what there is, and how each run of one must end."""

import itertools
import json
import socket
import threading
import urllib.parse
from typing import NamedTuple

import requests
import wasmtime
from websockets.sync.client import connect

from programs import guest

FAILED, LIMITED = "program_failed", "program_limit_exceeded"
MAILBOX_BYTES = 1 << 20  # that a program does not read


class End(NamedTuple):
    """Of a run: the error's code, the limit it names, and a word of its message; code None: it ends well."""
    code: str | None
    limit: str | None = None
    word: str = ""


def limited(name):
    return End(LIMITED, name, f"limit {name}")


# By guest of tests/guests.
ENDS = {
    "spin": limited("cpu_ms"),
    "start_spin": limited("cpu_ms"),
    "grow_memory": limited("memory_bytes"),
    "touch_memory": limited("memory_bytes"),
    "above_4gb": limited("memory_bytes"),
    "grow_table": limited("table_elements"),
    "recurse": End(FAILED, word="stack"),
    "storm": limited("host_calls"),
    "handles": limited("handles"),
    "sequences": limited("sequences"),
    "forge": End(None),
    "flood": limited("output_bytes"),
    "start_trap": End(FAILED, word="unreachable"),
    "out_of_bounds": End(FAILED, word="out of bounds"),
    "store": End(FAILED, word="limit stored_bytes"),
    "deep": End(FAILED, word="limit invoke"),
}
# That the server does not run, or not to their end: see `Attacker`.
OTHERS = ["unheard", "unread", "compile"]
KINDS = [*ENDS, *OTHERS]


# What the system takes to give the memory counts, too: on a slow machine that is passed first.
INSTEAD = {"touch_memory": limited("cpu_ms")}


def check(kind, error):
    """error: of the answer; None: it was a good one."""
    end = ENDS[kind]
    if kind in INSTEAD and error is not None and error.get("param") == INSTEAD[kind].limit:
        end = INSTEAD[kind]
    if end.code is None:
        assert error is None, f"{kind}: {error}"
    else:
        told = (error or {}).get("code"), (error or {}).get("param")
        assert told == (end.code, end.limit) and end.word in error["message"], f"{kind}: {error}"


def never_compiled_before():
    """Modules of some thousand functions, each with another number behind them: new ones to a server, and cheap to make."""
    body = " ".join(f"(func (param i32) (result i32) (i32.mul (i32.add (local.get 0) (i32.const {i})) (i32.const 7)))"
                    for i in range(3000))
    module = bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1) {body} '
                                     '(func (export "realm_run") (result i32) (i32.const 0)))'))
    for number in itertools.count(1):
        section = b"\x06number" + number.to_bytes(8, "little")
        yield module + bytes([0, len(section)]) + section  # a custom one


class Attacker:
    """A tenant that attacks in one way at a time; every method may be called from any thread."""

    def __init__(self, url, key):
        self.url, self.headers = url, {"Authorization": "Bearer " + key}
        parts = urllib.parse.urlsplit(url)
        self.address = parts.hostname, parts.port
        self.new_modules, self.lock = never_compiled_before(), threading.Lock()

    def push(self, name, module):
        answer = requests.put(f"{self.url}/v1/programs/{name}", data=module, headers=self.headers, timeout=120)
        assert answer.status_code == 201, answer.text

    def push_all(self):
        for kind in ENDS:
            self.push(kind, guest(kind))
        self.push("wait_for_input", guest("wait_for_input"))

    def attack(self, kind):
        """Once, to its end, which is checked."""
        if kind in OTHERS:
            getattr(self, kind)()
            return
        check(kind, self.run(kind).get("error"))

    def run(self, kind):
        """The answer, by a client that costs next to nothing: measurements have no cores for it."""
        head = (f"POST /v1/programs/{kind}/run HTTP/1.1\r\nHost: {self.address[0]}\r\nContent-Type: application/json\r\n"
                f"Authorization: {self.headers['Authorization']}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}")
        with socket.create_connection(self.address, timeout=120) as connection:
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower(), head
        return json.loads(body)

    def unheard(self):
        """Sends to a program that never reads until it is told so."""
        with connect(self.url.replace("http", "ws") + "/v1/ws", additional_headers=self.headers, max_size=None,
                     compression=None) as socket:
            socket.recv(60)
            socket.send(json.dumps({"type": "request", "id": 1, "kind": "program", "name": "spin", "body": {}}))
            for _ in range(2 * MAILBOX_BYTES // 60000):
                socket.send(json.dumps({"type": "input", "id": 1, "data": "x" * 60000}))
            codes = set()
            while LIMITED not in codes:
                message = json.loads(socket.recv(60))
                codes.add(message.get("error", {}).get("code"))
            assert "input_full" in codes, codes

    def unread(self, gone=None):
        """Takes the first bytes of a flood and no more; goes away when `gone` is set, or soon."""
        with requests.post(f"{self.url}/v1/programs/flood/run", json={"stream": True}, headers=self.headers,
                           stream=True, timeout=120) as answer:
            assert b"work" in answer.raw.read(400)
            (gone or threading.Event()).wait(60 if gone else 0.5)

    def compile(self):
        with self.lock:
            module = next(self.new_modules)
        self.push("compiled", module)
