"""WebSockets at /v1/ws: the protocol of docs/formats/websocket.md, with the client of `websockets`."""

import itertools
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import jsonschema
import pytest
from realm_server import KEY, wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/formats/websocket.schema.json").read_text())
CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Count from one to nine."}],
        "temperature": 0, "max_tokens": 12}
ENDS = ("done", "error")


# Made once: making one takes longer than a fast server's next hundred messages.
VALIDATORS = {what: jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{what}"})
              for what in ("client", "server")}


def check(message, what):
    VALIDATORS[what].validate(message)


class Client:
    """Every message, both ways, is checked against the schema."""

    def __init__(self, server, key=KEY, **options):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.context = connect(f"ws://127.0.0.1:{server.port}/v1/ws", additional_headers=headers,
                               max_size=None, compression=None, ping_interval=None, **options)
        self.socket = self.context.__enter__()
        self.session = self.receive()["session"] if key else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, _valid=True, **message):
        if _valid:
            check(message, "client")
        self.socket.send(json.dumps(message))

    def request(self, id, kind="chat.completions", body=None, **more):
        body = {} if body is None else {"body": body}
        self.send(type="request", id=id, kind=kind, **body, **more)

    def receive(self, timeout=60):
        message = json.loads(self.socket.recv(timeout))
        check(message, "server")
        return message

    def until_end(self, id):
        """The messages of one request, to its last."""
        messages = []
        while not messages or messages[-1]["type"] not in ENDS:
            message = self.receive()
            assert message["id"] == id
            messages.append(message)
        return messages

    def refusal(self, **message):
        """(status, code) of the error that answers a message."""
        self.send(_valid=False, **message)
        answer = self.receive()
        assert answer["type"] == "error"
        return answer["status"], answer["error"]["code"]

    def drop(self):
        """Ends the connection without a word."""
        self.socket.socket.shutdown(2)
        self.socket.close()


@pytest.fixture
def ws(server):
    with Client(server) as made:
        yield made


def text_of(messages):
    return "".join(choice["delta"].get("content") or "" for message in messages
                   if message["type"] == "event" for choice in message["data"]["choices"])


def sequences(messages):
    return [message["sequence"] for message in messages]


@pytest.fixture(scope="module")
def expected(client):
    return client.chat.completions.create(**CHAT).choices[0].message.content


def test_streams_what_http_answers(ws, expected):
    ws.request("a", body={**CHAT, "stream": True})
    messages = ws.until_end("a")
    assert text_of(messages) == expected
    assert messages[-1] == {"type": "done", "id": "a", "sequence": len(messages), "status": 200}
    assert sequences(messages) == list(range(1, len(messages) + 1))


def test_answers_in_one_piece(ws, expected):
    ws.request(7, body=CHAT)
    result, done = ws.until_end(7)
    assert result["type"] == "result" and done["type"] == "done"
    assert result["data"]["choices"][0]["message"]["content"] == expected


@pytest.mark.parametrize("kind,body,member", [
    ("completions", {"model": "smollm2", "prompt": "a", "max_tokens": 1}, "choices"),
    ("embeddings", {"model": "smollm2", "input": "a"}, "data"),
    ("tokenize", {"content": "a"}, "tokens"),
    ("detokenize", {"tokens": [100]}, "content"),
    ("apply-template", {"messages": CHAT["messages"]}, "prompt"),
    ("responses", {"model": "smollm2", "input": "a", "max_output_tokens": 16}, "output"),
    ("models", None, "data")])
def test_every_kind_answers(ws, kind, body, member):
    ws.request(1, kind, body)
    assert member in ws.until_end(1)[0]["data"]


def test_many_requests_share_a_connection(ws, expected):
    for id in range(8):
        ws.request(id, body={**CHAT, "stream": id % 2 == 0})
    messages = {id: [] for id in range(8)}
    while any(not got or got[-1]["type"] not in ENDS for got in messages.values()):
        message = ws.receive()
        messages[message["id"]].append(message)
    for id, got in messages.items():
        assert sequences(got) == list(range(1, len(got) + 1))
        if id % 2 == 0:
            assert text_of(got) == expected
        else:
            assert got[0]["data"]["choices"][0]["message"]["content"] == expected


def test_cancel_ends_a_request(ws, server):
    cancelled = server.metric("realm_requests_cancelled_total")
    ws.request("long", body={**CHAT, "stream": True, "max_tokens": 4000})
    ws.receive()
    ws.send(type="cancel", id="long")
    last = ws.until_end("long")[-1]
    assert (last["type"], last["status"], last["error"]["code"]) == ("error", 499, "cancelled")
    wait_until(lambda: server.metric("realm_requests_running") == 0)
    wait_until(lambda: server.metric("realm_requests_cancelled_total") == cancelled + 1)
    ws.request("long", body=CHAT)
    assert ws.until_end("long")[-1]["type"] == "done"


def test_ping_is_answered(ws):
    ws.send(type="ping", id="p")
    assert ws.receive() == {"type": "pong", "id": "p"}
    ws.send(type="ping")
    assert ws.receive() == {"type": "pong", "id": None}
    assert ws.socket.ping().wait(10)


def test_first_message_may_bring_the_key(server, expected):
    with Client(server, key=None) as ws:
        ws.send(type="auth", key=KEY)
        assert ws.receive()["type"] == "ready"
        ws.request(1, body=CHAT)
        assert ws.until_end(1)[0]["data"]["choices"][0]["message"]["content"] == expected
        assert ws.refusal(type="auth", key=KEY)[0] == 409


@pytest.mark.parametrize("message", [{"type": "auth", "key": "rlm_wrong"},
                                     {"type": "ping"}, {"type": "nonsense"},
                                     {"type": "request", "id": 1, "kind": "models"}])
def test_strangers_are_shown_out(server, message):
    with Client(server, key=None) as ws:
        ws.send(_valid=False, **message)
        assert ws.receive()["status"] in (400, 401)
        with pytest.raises(ConnectionClosed) as closed:
            ws.receive()
        assert closed.value.rcvd.code == 1008


def test_wrong_key_in_the_head_is_refused(server):
    with pytest.raises(InvalidStatus) as refused:
        Client(server, key="rlm_wrong")
    assert refused.value.response.status_code == 401


def test_plain_get_is_told_to_upgrade(server):
    status, body = server.get("/v1/ws")
    assert status == 426 and json.loads(body)["error"]["code"] == "upgrade_required"
    assert server.get("/v1/ws", key=None)[0] == 401


@pytest.mark.parametrize("message,status", [
    ({"type": "request", "id": 1, "kind": "chat.completions", "body": {}}, 400),
    ({"type": "request", "id": 1, "kind": "chat.completions"}, 400),
    ({"type": "request", "id": 1, "kind": "chat.completions", "body": 5}, 400),
    ({"type": "request", "id": 1, "kind": "completions", "body": {"model": "no", "prompt": ""}}, 404),
    ({"type": "request", "id": 1, "kind": "nonsense", "body": {}}, 404),
    ({"type": "request", "id": 1, "kind": "models", "name": "x"}, 400),
    ({"type": "request", "id": 1, "kind": "program", "name": "../x", "body": {}}, 400),
    ({"type": "request", "id": 1, "kind": "program", "name": "none", "body": {}}, 404),
    ({"type": "request", "id": 1, "kind": "program", "body": {}}, 400),
    ({"type": "request", "kind": "models"}, 400),
    ({"type": "request", "id": "", "kind": "models"}, 400),
    ({"type": "request", "id": "x" * 65, "kind": "models"}, 400),
    ({"type": "request", "id": "\n", "kind": "models"}, 400),
    ({"type": "request", "id": 1.5, "kind": "models"}, 400),
    ({"type": "request", "id": 1, "kind": "models", "more": 1}, 400),
    ({"type": "resume", "id": 1, "session": "0" * 32, "after": 0}, 404),
    ({"type": "resume", "id": 1, "session": "0" * 32, "after": -1}, 400),
    ({"type": "cancel"}, 400),
    ({"type": "ping", "key": "x"}, 400),
    ({"id": 1}, 400)])
def test_wrong_messages_are_answered(ws, message, status):
    assert ws.refusal(**message)[0] == status
    ws.send(type="ping")
    assert ws.receive()["type"] == "pong"


@pytest.mark.parametrize("text", ["", "[]", "{", "{}}", '{"type":"ping"', '{"type":"ping",}', "x",
                                  '{"type":"ping","type":"ping"}', '{"a', '{"type":"ping"} 1',
                                  '{"type":"request","id":1,"kind":"tokenize","body":{]}'])
def test_what_is_no_message_is_answered(ws, text):
    ws.socket.send(text)
    assert ws.receive()["status"] == 400
    ws.send(type="ping")
    assert ws.receive()["type"] == "pong"


def test_cancelling_nothing_is_nothing(ws):
    ws.send(type="cancel", id="none")
    ws.send(type="ping")
    assert ws.receive()["type"] == "pong"


def test_id_in_use_is_refused(ws):
    ws.request(1, body={**CHAT, "stream": True, "max_tokens": 2000})
    ws.receive()
    ws.send(type="request", id=1, kind="models")
    while (message := ws.receive()).get("sequence"):
        pass
    assert message["error"]["code"] == "id_in_use"


def test_requests_of_a_connection_are_limited(ws):
    for id in range(65):
        ws.request(id, body={**CHAT, "stream": True, "max_tokens": 2000})
    while (message := ws.receive())["type"] != "error":
        pass
    assert (message["id"], message["status"]) == (64, 429)
    assert message["error"]["code"] == "too_many_requests"


def test_dropped_connection_is_resumed(server, client):
    body = {**CHAT, "max_tokens": 150, "ignore_eos": True}
    whole = client.chat.completions.create(
        **{**CHAT, "max_tokens": 150}, extra_body={"ignore_eos": True}).choices[0].message.content
    first = Client(server)
    first.request("r", body={**body, "stream": True})
    got = [first.receive() for _ in range(5)]
    first.drop()
    with Client(server) as second:
        second.send(type="resume", id="r", session=first.session, after=got[-1]["sequence"])
        got += second.until_end("r")
    assert sequences(got) == list(range(1, len(got) + 1))
    assert text_of(got) == whole


def test_finished_answer_can_be_read_again(server, ws):
    ws.request("f", body={**CHAT, "stream": True})
    got = ws.until_end("f")
    with Client(server) as other:
        other.send(type="resume", id="f", session=ws.session, after=3)
        assert other.until_end("f") == got[3:]
        assert other.refusal(type="resume", id="f", session=other.session, after=99) == \
            (404, "sequence_lost")


def realm(server, *arguments):
    """What a command on the server's data folder prints."""
    done = subprocess.run([os.environ["REALM"], *arguments, "--data", server.folder / "data"],
                          capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def two_tenants(own_server):
    """A server, and a key of its second tenant, "other"."""
    server = own_server()
    realm(server, "tenant", "create", "other")
    return server, json.loads(realm(server, "key", "create", "--tenant", "other", "--json"))


def test_session_of_another_tenant_cannot_be_resumed(two_tenants):
    server, key = two_tenants
    with Client(server) as mine, Client(server, key=key["key"]) as theirs:
        mine.request(1, body={**CHAT, "stream": True})
        mine.until_end(1)
        assert theirs.refusal(type="resume", id=1, session=mine.session, after=0) == \
            (404, "not_resumable")


def test_revoked_key_ends_requests_of_open_connections(two_tenants):
    server, key = two_tenants
    with Client(server, key=key["key"]) as ws:
        ws.request(1, "models")
        assert ws.until_end(1)[-1]["type"] == "done"
        realm(server, "key", "revoke", key["id"])
        ws.request(1, "models")
        assert ws.until_end(1)[-1]["status"] == 401


def test_slow_reader_parks_its_request(server):
    """Nothing is read: what the server makes and keeps for the connection stays small."""
    def made():
        return server.metric("realm_generation_tokens_total")

    def stands_still():
        n = made()
        time.sleep(0.3)
        return n > first and made() == n

    with Client(server, max_queue=1) as ws:
        before, first = server.rss_bytes(), made()
        for id in range(4):
            ws.request(id, body={**CHAT, "stream": True, "max_tokens": 3000, "logprobs": True,
                                 "top_logprobs": 20, "ignore_eos": True})
        wait_until(stands_still, 120)
        assert made() - first < 4 * 3000 and server.metric("realm_tenant_requests") >= 4
        assert server.rss_bytes() - before < 64 << 20
        for id in range(4):
            ws.send(type="cancel", id=id)


def test_log_tells_requests_and_no_secrets(server, ws):
    secret = "xyzzy-plugh-7731"
    ws.request("log", body={**CHAT, "messages": [{"role": "user", "content": secret}]})
    ws.until_end("log")
    wait_until(lambda: any(line.get("path") == "/v1/chat/completions" for line in server.log()))
    text = server.log_path.read_text()
    assert KEY not in text and secret not in text and ws.session not in text


def test_connections_are_limited(own_server):
    server = own_server("--max-connections", "3")
    clients = [Client(server) for _ in range(3)]
    with pytest.raises(InvalidStatus) as refused:
        Client(server)
    assert refused.value.response.status_code == 429
    clients[0].socket.close()
    wait_until(lambda: _connects(server))
    for ws in clients[1:]:
        ws.socket.close()


def _connects(server):
    try:
        with Client(server):
            return True
    except InvalidStatus:
        return False


def test_thousand_idle_connections_are_cheap(own_server):
    """10,000 in 1 GB leaves 100 KB for each: here is a fifth of that."""
    server = own_server()
    idle = [Client(server) for _ in range(100)]
    before = server.rss_bytes()
    idle += [Client(server) for _ in range(1000)]
    assert (server.rss_bytes() - before) / 1000 < 20_000
    for ws in itertools.islice(idle, 0, None, 100):
        ws.send(type="ping")
        assert ws.receive()["type"] == "pong"
    threads = [threading.Thread(target=ws.drop) for ws in idle]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
