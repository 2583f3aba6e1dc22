"""Limits of tenants and keys on a running server: what is refused, how it is told, and that they hold."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from realm_server import wait_until
from test_tenants import Commands, client_of

TINY = "tiny=" + os.environ["REALM_TEST_DATA"] + "/golden/models/llama_tied.gguf"


@pytest.fixture
def served(own_server):
    server = own_server(models=(TINY,))
    return server, Commands(server.folder / "data")


@pytest.fixture
def slow(own_server):
    """A model whose long answers are still under way when the next request comes."""
    server = own_server()
    return server, Commands(server.folder / "data")


def key_of(realm, tenant, *limits, key_limits=()):
    realm("tenant", "create", tenant, *limits)
    return realm("key", "create", "--tenant", tenant, *key_limits).strip()


def ask(server, key, prompt=(5, 6, 7), n=2, **more):
    with client_of(server, key) as client:
        return client.completions.with_raw_response.create(
            model="tiny", prompt=list(prompt), max_tokens=n, extra_body={"ignore_eos": True}, **more)


def refused(server, key, kind=openai.RateLimitError, **more):
    with pytest.raises(kind) as caught:
        ask(server, key, **more)
    return caught.value


def test_requests_a_minute(served):
    server, realm = served
    key = key_of(realm, "acme", "--requests-per-minute", "3")
    left = [ask(server, key).headers["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    error = refused(server, key)
    assert "3 requests a minute" in error.message and error.code == "quota_exceeded"
    assert 1 <= int(error.response.headers["retry-after"]) <= 20
    assert error.response.headers["x-ratelimit-limit-requests"] == "3"
    realm("tenant", "set", "acme", "--requests-per-minute", "0")
    answer = ask(server, key)
    assert "x-ratelimit-limit-requests" not in answer.headers


def test_tokens_a_minute_are_those_that_were_used(served):
    """The estimate counts while the request runs; what it did not use is given back."""
    server, realm = served
    key = key_of(realm, "acme", "--tokens-per-minute", "60")
    with client_of(server, key) as client:
        answer = client.completions.with_raw_response.create(
            model="tiny", prompt=[5, 6, 7], max_tokens=50, extra_body={"guided_regex": "a"})  # ends at once
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) == 7
    used = answer.parse().usage.total_tokens
    assert used < 30
    answer = ask(server, key, n=1)
    left = int(answer.headers["x-ratelimit-remaining-tokens"])
    assert 60 - used - 4 <= left <= 60 - used - 4 + 20  # a unit a second comes back
    assert answer.headers["x-ratelimit-reset-tokens"].endswith("ms")
    error = refused(server, key, n=55)
    assert "60 tokens a minute" in error.message
    assert 1 <= int(error.response.headers["retry-after"]) <= 60


def long_stream(client):
    stream = client.completions.create(model="smollm2", prompt=[5, 6, 7], max_tokens=4000, stream=True,
                                       extra_body={"ignore_eos": True})
    next(iter(stream))
    return stream


def test_a_client_that_goes_pays_for_what_was_made(slow):
    server, realm = slow
    key = key_of(realm, "acme", "--tokens-per-day", "5000")
    with client_of(server, key) as client:
        long_stream(client).close()
        wait_until(lambda: server.log()[-1]["status"] == 499, what="the end of the request")
        used = server.log()[-1]["prompt_tokens"] + server.log()[-1]["completion_tokens"]
        assert 4 <= used < 3000
        with pytest.raises(openai.RateLimitError, match=f"has {5000 - used} left"):
            client.completions.create(model="smollm2", prompt=[5], max_tokens=5000 - used)


def test_tokens_a_day(served):
    server, realm = served
    key = key_of(realm, "acme", "--tokens-per-day", "12")
    ask(server, key, n=2)
    error = refused(server, key, n=8)
    assert "12 tokens a day and has 7 left" in error.message
    assert int(error.response.headers["retry-after"]) <= 86400
    ask(server, key, n=4)


def test_requests_at_once(slow):
    server, realm = slow
    key = key_of(realm, "acme", "--max-concurrent", "1")
    with client_of(server, key) as client:
        stream = long_stream(client)
        with pytest.raises(openai.RateLimitError, match="1 requests at once"):
            client.completions.create(model="smollm2", prompt=[5], max_tokens=1)
        stream.close()
        wait_until(lambda: server.log()[-1]["status"] == 499, what="the end of the first")
        client.completions.create(model="smollm2", prompt=[5], max_tokens=1)


def test_the_context(served):
    server, realm = served
    key = key_of(realm, "acme", "--max-context", "10")
    error = refused(server, key, openai.PermissionDeniedError, prompt=range(5, 15))
    assert "11 tokens" in error.message and "use 10" in error.message
    answer = ask(server, key, prompt=range(5, 11), n=50).parse()
    assert answer.usage.completion_tokens == 4 and answer.choices[0].finish_reason == "length"


def test_the_pages_of_a_key(served):
    """Of two keys of a tenant one may hold fewer KV pages, of 16 tokens; a change acts on its next request."""
    server, realm = served
    wide = key_of(realm, "acme", "--max-pages", "4")
    narrow = realm("key", "create", "--tenant", "acme", "--max-pages", "2").strip()
    ask(server, wide, prompt=range(5, 45))
    error = refused(server, narrow, openai.BadRequestError, prompt=range(5, 45))
    assert "40 tokens" in error.message and "2 KV pages" in error.message
    [key_id] = [key["id"] for key in realm.json("key", "list", "--tenant", "acme") if key["max_pages"] == 2]
    realm("key", "set", key_id, "--max-pages", "0")
    ask(server, narrow, prompt=range(5, 45))
    error = refused(server, narrow, openai.BadRequestError, prompt=range(5, 75))
    assert "4 KV pages" in error.message  # its tenant's


def test_the_line_of_a_key(slow):
    """One request of the key runs and one may wait: of two more, one is refused and the other has its turn later."""
    server, realm = slow
    plain = key_of(realm, "acme")
    key = realm("key", "create", "--tenant", "acme", "--max-running", "1", "--max-waiting", "1").strip()

    def short(client):
        try:
            return client.completions.create(model="smollm2", prompt=[5], max_tokens=1).usage.completion_tokens
        except openai.RateLimitError as error:
            assert "as many requests running and waiting as it may" in error.message
            return "refused"

    with client_of(server, key) as client, client_of(server, plain) as other, ThreadPoolExecutor(2) as pool:
        stream = long_stream(client)
        more = [pool.submit(short, client) for _ in range(2)]
        wait_until(lambda: any(one.done() for one in more), what="the refusal")
        assert short(other) == 1  # its tenant may have more
        stream.close()
        assert sorted(str(one.result(60)) for one in more) == ["1", "refused"]


def test_a_key_goes_before_nobody(served):
    server, realm = served
    key_of(realm, "acme", key_limits=("--priority", "low", "--weight", "3"))
    [key] = realm.json("key", "list", "--tenant", "acme")
    assert key["priority"] == "low" and key["weight"] == 3
    assert "low|normal" in realm("key", "set", key["id"], "--priority", "high", code=2)


def test_the_models(served):
    server, realm = served
    key = key_of(realm, "acme", "--models", "large,tiny", key_limits=("--models", "tiny"))
    ask(server, key)
    realm("tenant", "set", "acme", "--models", "large")
    error = refused(server, key, openai.PermissionDeniedError)
    assert "tenant may not use the model tiny, only large" in error.message
    realm("tenant", "set", "acme", "--models", "all")
    key_id = realm.json("key", "list", "--tenant", "acme")[0]["id"]
    realm("key", "set", key_id, "--models", "large")
    assert "API key may not use" in refused(server, key, openai.PermissionDeniedError).message


def test_a_key_has_limits_beside_its_tenants(served):
    server, realm = served
    first = key_of(realm, "acme", "--requests-per-minute", "5", key_limits=("--requests-per-minute", "2"))
    second = realm("key", "create", "--tenant", "acme").strip()
    ask(server, first)
    ask(server, first)
    assert "the API key" in refused(server, first).message
    for _ in range(3):
        ask(server, second)
    assert "the tenant" in refused(server, second).message
    assert "program-fuel" in realm("key", "create", "--program-fuel", "2", code=2)


def test_limits_hold_under_many_clients(served):
    """64 clients of 8 tenants ask until they are refused: each tenant has used all it may, and no more."""
    server, realm = served
    limit, size = 1000, 10
    keys = [key_of(realm, f"t{i}", "--tokens-per-day", str(limit)) for i in range(8)]
    used, lock = [0] * len(keys), threading.Lock()

    def press(number):
        tenant = number % len(keys)
        with client_of(server, keys[tenant]) as client:
            while True:
                try:
                    usage = client.completions.create(model="tiny", prompt=[5, 6, 7], max_tokens=size - 3,
                                                      extra_body={"ignore_eos": True}).usage
                except openai.RateLimitError:
                    return
                with lock:
                    used[tenant] += usage.total_tokens

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(press, range(64)))
    # The last ones are refused while others run that might still use what is left.
    assert all(0.99 * limit - 8 * size <= n <= limit for n in used), used
    for key, n in zip(keys, used):
        while n < limit:
            n += ask(server, key, n=size - 3).parse().usage.total_tokens
        assert n == limit
        assert refused(server, key)
