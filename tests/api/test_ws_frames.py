"""Frames that are wrong or unusual, on plain sockets, as the Autobahn suite sends them."""

import json
import os
import socket
import struct

import pytest
from realm_server import KEY, wait_until

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PING_MESSAGE = b'{"type":"ping","id":"x"}'


def frame(payload, opcode=TEXT, final=True, masked=True, reserved=0):
    head = bytes([final << 7 | reserved << 4 | opcode])
    n = len(payload)
    mask_bit = masked << 7
    if n < 126:
        head += bytes([mask_bit | n])
    elif n < 65536:
        head += bytes([mask_bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", n)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Raw:
    def __init__(self, server, key=KEY, head=b""):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.file = self.socket.makefile("rb")
        auth = f"Authorization: Bearer {key}\r\n".encode() if key else b""
        self.send(b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
                  auth + head + b"\r\n")
        assert self.file.readline().startswith(b"HTTP/1.1 101")
        while self.file.readline().strip():
            pass
        if key:
            assert json.loads(self.receive()[1])["type"] == "ready"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """(opcode, payload) of the next frame; (None, b"") at the connection's end."""
        try:
            head = self.file.read(2)
            if len(head) < 2:
                return None, b""
            n = head[1] & 127
            assert head[1] < 128, "a server does not mask"
            if n >= 126:
                n = int.from_bytes(self.file.read(2 if n == 126 else 8), "big")
            return head[0] & 15, self.file.read(n)
        except ConnectionResetError:
            return None, b""

    def message(self):
        opcode, payload = self.receive()
        assert opcode == TEXT
        return json.loads(payload)

    def closed(self):
        """The code of the close frame, None where the connection ends without one."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")
            if opcode is None:
                return None

    def lives(self):
        self.send(frame(PING_MESSAGE))
        return self.message() == {"type": "pong", "id": "x"}


@pytest.fixture
def raw(server):
    with Raw(server) as made:
        yield made
    assert server.get("/health")[0] == 200


@pytest.mark.parametrize("size", [1, 2, 7])
def test_fragments_make_one_message(raw, size):
    parts = [PING_MESSAGE[i:i + size] for i in range(0, len(PING_MESSAGE), size)]
    for i, part in enumerate(parts):
        raw.send(frame(part, TEXT if i == 0 else 0, final=i == len(parts) - 1))
    assert raw.message()["type"] == "pong"


def test_pings_come_between_fragments(raw):
    raw.send(frame(PING_MESSAGE[:5], final=False) + frame(b"now", PING))
    assert raw.receive() == (PONG, b"now")
    raw.send(frame(b"", 0, final=False) + frame(PING_MESSAGE[5:], 0))
    assert raw.message()["type"] == "pong"


def test_bytes_may_come_one_by_one(raw):
    for byte in frame(PING_MESSAGE):
        raw.send(bytes([byte]))
    assert raw.message()["type"] == "pong"


def test_many_messages_may_come_at_once(raw):
    raw.send(frame(PING_MESSAGE) * 100)
    assert [raw.message()["type"] for _ in range(100)] == ["pong"] * 100


def test_unasked_pong_is_ignored(raw):
    raw.send(frame(b"nobody asked", PONG))
    assert raw.lives()


def test_empty_message_is_no_message(raw):
    raw.send(frame(b""))
    raw.send(frame(PING_MESSAGE))
    answers = [raw.message()]
    if answers[0]["type"] == "error":
        answers.append(raw.message())
    assert answers[-1]["type"] == "pong"


@pytest.mark.parametrize("data, code", [
    (frame(b"\x00\x01", BINARY), 1003),
    (frame(b'{"type":"\xff"}'), 1007),
    (frame(b'{"type":"\xed\xa0\x80"}'), 1007),
    (frame(b"\xc3", final=False) + frame(b"\x28", 0), 1007),
    (frame(b"\xc3"), 1007),
    (frame(b"x", 3), 1002),
    (frame(b"x", 7), 1002),
    (frame(b"x", 11), 1002),
    (frame(b"x", 15), 1002),
    (frame(b"x", reserved=1), 1002),
    (frame(b"x", reserved=4), 1002),
    (frame(b"x", 0), 1002),
    (frame(b"a", final=False) + frame(b"b"), 1002),
    (frame(b"x", PING, final=False), 1002)],
    ids=["binary", "utf8", "surrogate", "utf8_across_fragments", "utf8_cut", "opcode3", "opcode7",
         "opcode11", "opcode15", "reserved1", "reserved4", "continues_nothing", "begins_twice",
         "cut_ping"])
def test_what_breaks_the_protocol_ends_the_connection(raw, data, code):
    raw.send(data)
    assert raw.closed() == code


@pytest.mark.parametrize("data", [frame(b"x" * 126, PING), frame(PING_MESSAGE, masked=False)], ids=["long_ping", "unmasked"])
def test_what_cannot_be_read_is_cut_off(raw, data):
    """Bytes that were not taken make the connection's end a reset, which may come before the code."""
    raw.send(data)
    assert raw.closed() in (1002, None)


def test_close_is_answered(raw):
    raw.send(frame(struct.pack(">H", 1000) + b"bye", CLOSE))
    assert raw.closed() == 1000


def test_oversized_message_ends_the_connection(server):
    with Raw(server) as raw:
        part = frame(b" " * (1 << 20), 0, final=False)
        try:
            raw.send(frame(b"{", final=False))
            for _ in range(33):
                raw.send(part)
        except OSError:
            pass
        assert raw.closed() in (1009, None)  # as above
    assert server.get("/health")[0] == 200


def test_declared_size_takes_no_memory(server):
    before = server.rss_bytes()
    with Raw(server) as raw:
        raw.send(b"\x81\xff" + struct.pack(">Q", 1 << 62) + b"1234" + b"x" * 100)
        assert server.get("/health")[0] == 200
        assert server.rss_bytes() - before < 8 << 20


def test_strangers_messages_are_small(server):
    with Raw(server, key=None) as raw:
        raw.send(frame(b" " * 5000))
        assert raw.closed() == 1009


def test_slow_message_is_cut_off(own_server):
    server = own_server("--client-timeout", "1")
    with Raw(server) as raw, Raw(server) as silent, Raw(server, key=None) as stranger:
        raw.send(frame(b'{"type"', final=False))
        assert raw.closed() in (1000, 1001, 1002, None)
        assert stranger.closed() in (1000, 1001, 1002, None)
        assert silent.lives()


def test_pings_of_who_does_not_read_are_not_kept(server):
    before = server.rss_bytes()
    with Raw(server) as raw:
        raw.socket.settimeout(5)
        flood = frame(PING_MESSAGE) * 1000
        try:
            for _ in range(1000):
                raw.send(flood)
        except OSError:
            pass
    wait_until(lambda: server.get("/health")[0] == 200)
    assert server.rss_bytes() - before < 32 << 20
