"""Clients that vanish, lag or are there when the server ends."""

import json
import threading
import time

import openai
import pytest
import requests
from realm_server import KEY, wait_until
from test_http import HEALTH, Connection, post

LONG = {"model": "smollm2", "prompt": "Once upon a time", "max_tokens": 6000, "ignore_eos": True, "temperature": 0}


def long_request(**fields):
    return post(json.dumps({**LONG, **fields}).encode())


def running(server):
    return server.metric("realm_sequences_running")


def wait_idle(server):
    wait_until(lambda: running(server) == 0 and server.metric("realm_sequences_waiting") == 0,
               what="an idle engine")


@pytest.mark.parametrize("fields", [{"stream": True}, {}, {"stream": True, "n": 4}, {"prompt": ["a", "b"]}])
def test_generation_stops_when_the_client_vanishes(server, fields):
    before = server.metric("realm_requests_cancelled_total")
    with Connection(server) as connection:
        connection.send(long_request(**fields))
        wait_until(lambda: running(server) > 0, what="a running sequence")
        if fields.get("stream"):
            assert connection.head()[0] == 200
    wait_idle(server)
    assert server.metric("realm_kv_pages_used") <= server.metric("realm_kv_pages")
    n = len(fields["prompt"]) if "prompt" in fields else 1
    assert server.metric("realm_requests_cancelled_total") == before + n
    gone = [line for line in server.log() if line.get("event") == "request" and line["gone"]]
    assert gone and gone[-1]["status"] == 499


def test_many_clients_that_vanish_leave_nothing(server):
    for _ in range(5):
        connections = [Connection(server) for _ in range(20)]
        for i, connection in enumerate(connections):
            connection.send(long_request(stream=i % 2 == 0)[:None if i % 3 else -10])
        for connection in connections:
            connection.close()
    wait_idle(server)
    assert server.get("/health")[0] == 200


def test_a_client_that_vanishes_while_it_waits_is_forgotten(server):
    """More prompts than run at once: some are still waiting when their client goes."""
    connections = [Connection(server) for _ in range(12)]
    for connection in connections:
        connection.send(long_request(n=8, max_tokens=500))
    wait_until(lambda: running(server) > 0, what="a running sequence")
    for connection in connections:
        connection.close()
    wait_idle(server)


def test_a_reader_that_stops_is_cut_and_holds_only_itself_up(own_server):
    server = own_server("--client-timeout", "3")
    with Connection(server, receive_bytes=4096) as slow:
        # Much text a token, so that what the kernel keeps for the client is soon full.
        body = {**LONG, "n": 16, "temperature": 1, "logprobs": True, "top_logprobs": 20,
                "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        del body["prompt"]
        slow.send(post(json.dumps(body).encode(), path=b"/v1/chat/completions"))
        assert slow.head()[0] == 200
        others = []
        begin = time.monotonic()
        while server.metric("realm_requests_cancelled_total") == 0 and time.monotonic() - begin < 120:
            with Connection(server) as other:
                other.send(post())
                others.append(other.answer()[0])
        # Nothing was read for so long: the client is cut and its sequence ends, whatever others do.
        assert set(others) == {200}
        assert server.metric("realm_requests_cancelled_total") == 1
        wait_idle(server)
        assert slow.ended()


def test_a_reader_that_is_slow_but_reads_gets_everything(server):
    with Connection(server, receive_bytes=4096) as slow:
        slow.send(long_request(stream=True, max_tokens=400, logprobs=5))
        assert slow.head()[0] == 200
        body = b""
        while not body.endswith(b"data: [DONE]\n\n"):
            piece = slow.file.read1(8192)
            assert piece
            body += piece
            time.sleep(0.002)
        tokens = [t for line in body.decode().split("\n\n") if line.startswith("data: {")
                  for c in json.loads(line[6:])["choices"] if c["logprobs"] for t in c["logprobs"]["tokens"]]
        assert len(tokens) == 400


# --- the end


def test_sigterm_lets_running_answers_finish_and_refuses_new_ones(own_server):
    server = own_server("--ctx", "2048")
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client, \
            Connection(server) as kept:
        kept.send(HEALTH)
        assert kept.answer()[0] == 200
        stream = client.completions.create(model="smollm2", prompt=LONG["prompt"], temperature=0, max_tokens=600,
                                           stream=True, extra_body={"ignore_eos": True})
        assert next(stream).choices
        whole = {}

        def ask_whole():
            whole["answer"] = requests.post(server.url + "/v1/completions", json={**LONG, "max_tokens": 500},
                                            headers={"Authorization": "Bearer " + KEY}, timeout=120)

        thread = threading.Thread(target=ask_whole)
        thread.start()
        wait_until(lambda: running(server) == 2, what="two running sequences")
        server.terminate()
        wait_until(lambda: server.get("/ready")[0] == 503, what="/ready says no")
        assert server.get("/health")[0] == 200
        kept.send(post())
        status, headers, body = kept.answer()
        assert status == 503 and headers["retry-after"]
        assert json.loads(body)["error"]["code"] == "unavailable"
        with pytest.raises(openai.InternalServerError) as refused:
            client.completions.create(model="smollm2", prompt="x")
        assert refused.value.status_code == 503
        rest = list(stream)
        assert rest[-1].choices[0].finish_reason == "length"
        thread.join()
        assert whole["answer"].status_code == 200
        assert whole["answer"].json()["usage"]["completion_tokens"] == 500
        assert server.process.wait(30) == 0


def test_an_idle_server_ends_at_once_and_with_0(own_server):
    server = own_server("--ctx", "128")
    with Connection(server) as idle:
        idle.send(HEALTH)
        assert idle.answer()[0] == 200
        assert server.stop(10) == 0


def test_the_drain_has_an_end(own_server):
    server = own_server("--drain", "1")
    with Connection(server) as connection:
        connection.send(long_request(stream=True))
        assert connection.head()[0] == 200
        begin = time.monotonic()
        assert server.stop(30) == 0
        assert time.monotonic() - begin < 20
        assert connection.ended()


def test_a_client_that_holds_its_body_back_does_not_hold_the_end_up(own_server):
    server = own_server("--ctx", "128", "--drain", "2")
    with Connection(server) as connection:
        connection.send(post()[:-10])
        assert server.stop(20) == 0


def test_an_answer_in_one_piece_may_take_longer_than_a_client_may(own_server):
    """The client's time runs while it must take something, not while the answer is made."""
    server = own_server("--client-timeout", "1")
    begin = time.monotonic()
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0, timeout=120) as client:
        answer = client.completions.create(model="smollm2", prompt="Once", max_tokens=1500,
                                           extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 1500
    assert time.monotonic() - begin > 2.5, "too fast to show it"
