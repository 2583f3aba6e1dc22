#!/usr/bin/env python3
"""What connections cost that do nothing: opens WebSockets to one server, keeps them through its pings, and prints its resident
memory before and after, how many are still open, and how long a short answer takes beside them and without them.

The server and this program each need a descriptor for every connection; the hard limit (ulimit -Hn) bounds --connections.

  bench/server/idle_connections.py
  bench/server/idle_connections.py --connections 500 --hold 5
"""

import argparse
import base64
import os
import pathlib
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "server"))
import load  # noqa: E402

PING, PONG, CLOSE = 9, 10, 8
SPARE_DESCRIPTORS = 100


def open_websocket(port, key):
    """A connection through its handshake."""
    nonce = base64.b64encode(os.urandom(16)).decode()
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n"
                       f"Authorization: Bearer {key}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(4096)
        if not data:
            raise SystemExit(f"the server closed a connection in its handshake: {answer!r}")
        answer += data
    if not answer.startswith(b"HTTP/1.1 101"):
        raise SystemExit(f"no WebSocket: {answer[:200]!r}")
    connection.setblocking(False)
    return connection


def answer_frames(connection, data):
    """Answers the pings among whole frames and returns how many there were; None: the server says goodbye."""
    n_pings = 0
    while len(data) >= 2:
        kind, length = data[0] & 15, data[1] & 127
        payload, data = data[2:2 + length], data[2 + length:]
        if kind == CLOSE:
            return None
        if kind == PING:
            n_pings += 1
            mask = b"\0\0\0\0"
            connection.sendall(bytes([0x80 | PONG, 0x80 | length]) + mask + payload)
    return n_pings


def hold(connections, seconds):
    """The connections that are open after that time, and the pings they answered."""
    n_pings = 0
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection, selectors.EVENT_READ)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(max(0, end - time.monotonic())):
            data = key.fileobj.recv(4096)
            n = answer_frames(key.fileobj, data) if data else None
            if n is None:
                selector.unregister(key.fileobj)
                key.fileobj.close()
            else:
                n_pings += n
    alive = [key.fileobj for key in selector.get_map().values()]
    selector.close()
    return alive, n_pings


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def answer_seconds(port, n=9):
    """Median time of a short answer."""
    times = []
    for _ in range(n):
        begin = time.monotonic()
        stream = load.Stream(port, [1, 2, 3, 4], 8)
        while not stream.read():
            pass
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realm", type=pathlib.Path, default=ROOT / "build/release/realm")
    parser.add_argument("--model", type=pathlib.Path, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--hold", type=float, default=60, help="seconds; the server pings after 30 of silence")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if options.connections + SPARE_DESCRIPTORS > hard:
        raise SystemExit(f"{options.connections} connections need {options.connections + SPARE_DESCRIPTORS} descriptors, and "
                         f"the hard limit is {hard}: raise it (ulimit -Hn) or take fewer with --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.model is None:
        fetched = subprocess.run([ROOT / "tools/fetch_model.sh", "smollm2"], check=True, capture_output=True, text=True)
        options.model = fetched.stdout.split()[-1]
    with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "log", "wb") as log:
        server = load.start_realm(options, log, folder)
        try:
            alone = answer_seconds(server.port)
            before = resident_mib(server.process.pid)
            begin = time.monotonic()
            connections = [open_websocket(server.port, load.KEY) for _ in range(options.connections)]
            opened = time.monotonic() - begin
            after = resident_mib(server.process.pid)
            alive, n_pings = hold(connections, options.hold)
            beside = answer_seconds(server.port)
            held = resident_mib(server.process.pid)
            for connection in alive:
                connection.close()
        finally:
            server.close()
    print(f"{options.connections} WebSockets opened in {opened:.1f} s; {len(alive)} open after {options.hold:.0f} s and "
          f"{n_pings} pings")
    print(f"resident memory: {before:.0f} MiB before, {after:.0f} MiB once open, {held:.0f} MiB after that; "
          f"{(held - before) * 1024 / options.connections:.1f} KiB a connection")
    print(f"an answer of 8 tokens: {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside them")
    if len(alive) < options.connections:
        raise SystemExit("connections were lost")


if __name__ == "__main__":
    main()
