"""HTTP that is wrong or unusual, on plain sockets."""

import json
import re
import socket
import time

import pytest
from realm_server import KEY, RealmServer

AUTH = f"Authorization: Bearer {KEY}\r\n".encode()
BODY = b'{"model":"smollm2","prompt":"a","max_tokens":2,"temperature":0}'
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body=BODY, version=b"1.1", more=b"", length=None, path=b"/v1/completions"):
    length = str(len(body)).encode() if length is None else length
    return (b"POST " + path + b" HTTP/" + version + b"\r\nHost: x\r\n" + AUTH +
            (b"Content-Length: " + length + b"\r\n" if length else b"") + more + b"\r\n" + body)


class Connection:
    def __init__(self, server, timeout=30, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", server.port))
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def head(self):
        """(status, headers) of the next answer, None at the connection's end."""
        try:
            line = self.file.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        headers = {}
        while (header := self.file.readline().strip()):
            name, value = header.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def answer(self):
        """(status, headers, body) of the next answer, None at the connection's end."""
        head = self.head()
        if head is None:
            return None
        status, headers = head
        length = headers.get("content-length")
        return status, headers, self.file.read(int(length)) if length else self.file.read()

    def ended(self):
        """Whether the server closes the connection, by and by."""
        try:
            while self.file.read1(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True


@pytest.fixture
def connection(server):
    with Connection(server) as made:
        yield made
    with Connection(server) as other:
        other.send(HEALTH)
        assert other.answer()[0] == 200


def test_requests_follow_each_other_on_one_connection(connection):
    for _ in range(3):
        for request in (post(), HEALTH, post(b"{}"), b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"):
            connection.send(request)
            assert connection.answer()[0] == {post(): 200, HEALTH: 200, post(b"{}"): 400}.get(request, 404)


def test_pipelined_gets_are_answered_in_order(connection):
    models = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + AUTH + b"\r\n"
    connection.send(HEALTH + models + HEALTH)
    assert [connection.answer()[2][:16] for _ in range(3)] == [b'{"status":"ok"}', b'{"object":"list"', b'{"status":"ok"}']
    connection.send(post())
    assert connection.answer()[0] == 200


@pytest.mark.parametrize("requests", [
    post() + HEALTH, post() + post(), post() + b"x", post() + b"\r\n", HEALTH + post(), HEALTH + post() + HEALTH,
    post()[:-1] + b"x" + post(),
])
def test_a_post_that_is_pipelined_ends_that_connection_only(connection, requests):
    connection.send(requests)
    assert connection.ended()


def test_a_request_may_come_in_pieces(connection):
    for byte in post():
        connection.send(bytes([byte]))
    assert connection.answer()[0] == 200


def test_http_1_0_is_answered_and_closed(connection):
    connection.send(post(version=b"1.0"))
    status, _, body = connection.answer()
    assert status == 200 and json.loads(body)["object"] == "text_completion"
    assert connection.ended()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_stream_ends_with_its_connection(connection, version):
    connection.send(post(BODY[:-1] + b',"stream":true}', version=version))
    status, headers, body = connection.answer()
    assert status == 200 and headers["content-type"] == "text/event-stream"
    assert headers["connection"] == "close" and "content-length" not in headers
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("request_bytes", [
    post(length=b""), post(length=b"", more=b"Transfer-Encoding: chunked\r\n", body=b"5\r\nhello\r\n0\r\n\r\n"),
    post(more=b"Transfer-Encoding: chunked\r\n"), post(length=b"", body=b""),
])
def test_a_post_without_a_length_is_refused_and_the_connection_closed(connection, request_bytes):
    connection.send(request_bytes)
    status, headers, body = connection.answer()
    assert status == 411 and headers["connection"] == "close"
    assert json.loads(body)["error"]["code"] == "length_required"
    assert connection.ended()


@pytest.mark.parametrize("length", [b"-5", b"-1", b"+63", b"0x10", b"9" * 16, b"9" * 40, b"63x", b"63, 63",
                                    b"63\r\nContent-Length: 5", b"5\r\nContent-Length: 63"])
def test_a_length_that_is_no_number_is_refused_and_the_connection_closed(connection, length):
    connection.send(post(length=length))
    answer = connection.answer()
    if answer is not None:  # what follows the body that another reader would see cuts at once
        status, headers, body = answer
        assert status == 400 and headers["connection"] == "close"
        assert json.loads(body)["error"]["code"] == "invalid_length"
        assert connection.ended()


def test_an_empty_body_is_refused_and_the_connection_lives(connection):
    for _ in range(3):
        connection.send(post(b""))
        assert connection.answer()[0] == 400
    connection.send(HEALTH)
    assert connection.answer()[0] == 200


def test_a_get_with_a_body_is_answered(connection):
    connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
    assert connection.answer()[0] == 200
    connection.send(HEALTH)
    assert connection.answer()[0] == 200


def test_head_has_the_headers_of_get_and_no_body(connection):
    connection.send(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n" + HEALTH)
    status, headers = connection.head()
    assert status == 200 and headers["content-length"] == str(len(b'{"status":"ok"}'))
    assert connection.answer()[2] == b'{"status":"ok"}'


@pytest.mark.parametrize("method, path, allow", [
    (b"POST", b"/v1/models", "GET"), (b"DELETE", b"/v1/models/smollm2", "GET"), (b"OPTIONS", b"/health", "GET"),
    (b"GET", b"/v1/chat/completions", "POST"), (b"PUT", b"/v1/completions", "POST"),
])
def test_a_wrong_method_is_told_the_right_one(connection, method, path, allow):
    connection.send(method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    status, headers, body = connection.answer()
    assert status == 405 and headers["allow"] == allow
    assert json.loads(body)["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("request_bytes", [
    b"hello world\r\n\r\n", b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    b"BREW /health HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /health\0 HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(256)) * 8 + b"\r\n\r\n",
    b"GET " + b"/a" * 10000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20000 + b"\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-A: aaaaaaaa\r\n" * 2000 + b"\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(2000)) + b"\r\n",
])
def test_what_is_no_http_is_refused_or_cut(connection, request_bytes):
    connection.socket.settimeout(15)
    try:
        connection.send(request_bytes)
        head = connection.head()
    except (ConnectionResetError, BrokenPipeError):
        head = None
    assert head is None or 400 <= head[0] < 500
    assert head is None or connection.ended()


@pytest.mark.parametrize("headers", [
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Connection: Upgrade\r\nUpgrade: other\r\n",
])
def test_an_upgrade_is_refused(connection, headers):
    connection.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
    status, _ = connection.head()
    assert status in (501, 403)
    assert connection.ended()


ROUTES = [("GET", "/metrics"), ("GET", "/v1/models"), ("GET", "/v1/models/smollm2"),
          ("POST", "/v1/chat/completions"), ("POST", "/v1/completions")]


@pytest.mark.parametrize("method, path", ROUTES)
@pytest.mark.parametrize("header", ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic eDp5\r\n",
                                    "Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
                                    f"Authorization: {KEY}\r\n", f"Authorization: Bearer {KEY[:-1]}\r\n",
                                    f"X-Authorization: Bearer {KEY}\r\n", f"Authorization: Bearer x{KEY}\r\n"])
def test_every_other_route_needs_a_key(connection, method, path, header):
    connection.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: 2\r\n\r\n{{}}".encode())
    status, headers, body = connection.answer()
    assert status == 401 and headers["www-authenticate"] == "Bearer"
    assert json.loads(body)["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_and_ready_need_no_key(connection, path):
    connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert connection.answer()[0] == 200


def test_the_first_key_opens_and_is_stored_hashed(own_server):
    server = own_server("--ctx", "128")
    data = server.folder / "data"
    key = (data / "first_key.txt").read_text().strip()
    assert re.fullmatch(r"rlm_[0-9A-Za-z]{49}", key)
    assert (data / "first_key.txt").stat().st_mode & 0o077 == 0
    assert key in (server.folder / "stdout").read_text()
    assert key not in "".join(p.read_bytes().decode("latin-1") for p in data.glob("realm.db*")) and key not in server.log_path.read_text()
    assert server.get("/v1/models", key)[0] == 200
    assert server.get("/v1/models", key[:-1] + ("0" if key[-1] != "0" else "1"))[0] == 401


@pytest.fixture(scope="module")
def hurried(tmp_path_factory):
    """A server that waits for clients for 2 seconds only."""
    running = RealmServer(tmp_path_factory.mktemp("hurried"), "--client-timeout", "2", "--ctx", "8192")
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("begin, unit", [
    (b"", b""),
    (b"GET /health HTTP/1.1\r\nX-A: ", b""),
    (b"GET /health HTTP/1.1\r\nX-A: ", b"a"),
    (b"GET /health HTTP/1.1\r\n", b"X: a\r\n"),
    (post()[:-20], b""),
    (post(length=b"5000"), b" "),
])
def test_clients_that_drip_are_cut_and_hold_nobody_up(hurried, begin, unit):
    waiting = [Connection(hurried, timeout=0.005) for _ in range(30)]
    for one in waiting:
        one.send(begin)
    end = time.monotonic() + 20
    while waiting:
        assert time.monotonic() < end
        assert hurried.get("/health")[0] == 200
        for one in list(waiting):
            try:
                one.send(unit)
                gone = one.socket.recv(1000) == b""
            except TimeoutError:
                gone = False
            except (ConnectionResetError, BrokenPipeError):
                gone = True
            if gone:
                one.close()
                waiting.remove(one)


def test_few_descriptors_are_told(own_server):
    limited = own_server("--max-connections", "100000")
    line = [line for line in limited.log() if line.get("event") == "few_descriptors"]
    assert len(line) == 1 and line[0]["max_connections"] == 100000
    plenty = own_server("--max-connections", "10")
    assert not [line for line in plenty.log() if line.get("event") == "few_descriptors"]
