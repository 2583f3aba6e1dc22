"""Tenants and keys by the commands, beside a running server: every change acts at the next request."""

import json
import os
import subprocess
import threading

import openai
import pytest

from realm_server import wait_until

REALM = os.environ["REALM"]


class Commands:
    """`realm tenant` and `realm key` on one data folder."""

    def __init__(self, data):
        self.data = str(data)

    def __call__(self, *arguments, code=0):
        done = subprocess.run([REALM, *arguments, "--data", self.data], capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments):
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def served(own_server):
    server = own_server()
    return server, Commands(server.folder / "data")


def client_of(server, key):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0, timeout=60)


def ask(server, key, **more):
    with client_of(server, key) as client:
        return client.completions.create(model="smollm2", prompt="Hello", max_tokens=2, **more)


def test_a_tenants_life(served):
    server, realm = served
    realm("tenant", "create", "acme", "--weight", "3", "--max-running", "2")
    assert realm.json("tenant", "show", "acme")["weight"] == 3
    key = realm.json("key", "create", "--tenant", "acme", "--name", "laptop")
    assert ask(server, key["key"]).usage.completion_tokens == 2
    assert server.log()[-1]["tenant"] == "acme"
    assert key["key"] not in server.log_path.read_text()
    listed = realm.json("key", "list", "--tenant", "acme")
    assert [row["id"] for row in listed] == [key["id"]] and "key" not in listed[0]

    realm("key", "disable", key["id"])
    with pytest.raises(openai.AuthenticationError, match="disabled"):
        ask(server, key["key"])
    realm("key", "enable", key["id"])
    ask(server, key["key"])
    realm("tenant", "set", "acme", "--disable")
    with pytest.raises(openai.AuthenticationError, match="tenant"):
        ask(server, key["key"])
    realm("tenant", "set", "acme", "--enable")
    ask(server, key["key"])

    fresh = realm.json("key", "rotate", key["id"], "--grace", "0")
    assert fresh["key"] != key["key"] and fresh["name"] == "laptop"
    ask(server, fresh["key"])
    with pytest.raises(openai.AuthenticationError, match="expired"):
        ask(server, key["key"])
    realm("key", "revoke", fresh["id"])
    with pytest.raises(openai.AuthenticationError, match="not known"):
        ask(server, fresh["key"])
    assert "--yes" in realm("tenant", "delete", "acme", code=2)
    realm("tenant", "delete", "acme", "--yes")
    assert [row["name"] for row in realm.json("tenant", "list")] == ["default"]


@pytest.mark.parametrize("scopes, path, status", [
    ("inference", "/v1/models", 200), ("inference", "/metrics", 403),
    ("metrics", "/metrics", 200), ("metrics", "/v1/models", 403),
    ("all", "/metrics", 200), ("all", "/v1/models", 200),
])
def test_a_key_opens_what_its_scopes_say(served, scopes, path, status):
    server, realm = served
    key = realm("key", "create", "--scopes", scopes).strip()
    answer = server.get(path, key=key)
    assert answer[0] == status
    if status == 403:
        assert scopes in json.loads(answer[1])["error"]["message"]


def test_tenants_have_prefixes_and_numbers_of_their_own(served):
    server, realm = served
    keys = []
    for name in ("one", "two"):
        realm("tenant", "create", name)
        keys.append(realm("key", "create", "--tenant", name).strip())
    words = "The quick brown fox jumps over the lazy dog. " * 10

    def cached(key):
        with client_of(server, key) as client:
            answer = client.completions.create(model="smollm2", prompt=words, max_tokens=1)
        return answer.usage.prompt_tokens_details.cached_tokens

    assert [cached(keys[0]), cached(keys[1])] == [0, 0]
    assert cached(keys[0]) == cached(keys[1]) > 50
    page = server.get("/metrics")[1].decode()
    assert 'realm_tenant_generation_tokens_total{tenant="one"} 2' in page
    assert 'realm_tenant_generation_tokens_total{tenant="two"} 2' in page
    assert 'realm_tenant_generation_tokens_total{tenant="default"} 0' in page


def test_a_published_prefix_is_found_by_all(served):
    server, realm = served
    realm("tenant", "create", "one")
    ordinary = realm("key", "create", "--tenant", "one").strip()
    admin = realm("key", "create", "--scopes", "all").strip()
    words = "Pack my box with five dozen liquor jugs. " * 10
    with pytest.raises(openai.PermissionDeniedError, match="admin"):
        ask(server, ordinary, extra_body={"publish_prefix": True})

    def cached(key, **more):
        with client_of(server, key) as client:
            answer = client.completions.create(model="smollm2", prompt=words, max_tokens=1, extra_body=more)
        return answer.usage.prompt_tokens_details.cached_tokens

    assert cached(admin, publish_prefix=True) == 0
    assert cached(ordinary) > 50


def test_a_tenants_bound_is_a_429_for_it_alone(served):
    server, realm = served
    realm("tenant", "create", "small", "--max-running", "1", "--max-waiting", "1")
    small = realm("key", "create", "--tenant", "small").strip()
    other = realm("key", "create").strip()
    with client_of(server, small) as client:
        def start():
            return client.completions.create(model="smollm2", prompt="Once upon a time", max_tokens=400, stream=True,
                                             extra_body={"ignore_eos": True})
        first = start()
        second = threading.Thread(target=lambda: start().close())  # answers when it has a place
        second.start()
        wait_until(lambda: server.metric("realm_tenant_requests") == 2)
        with pytest.raises(openai.RateLimitError) as refused:
            start()
        assert refused.value.response.headers["retry-after"]
        ask(server, other)
        first.close()
        second.join()


@pytest.mark.parametrize("arguments, word", [
    (("tenant", "create", "no spaces"), "letters"),
    (("tenant", "show", "nobody"), "nobody"),
    (("tenant", "create", "default"), "already"),
    (("key", "create", "--tenant", "nobody"), "nobody"),
    (("key", "create", "--scopes", "root"), "inference, programs"),
    (("key", "revoke", "00000000"), "00000000"),
])
def test_wrong_use_says_what_is_wrong(served, arguments, word):
    _, realm = served
    done = subprocess.run([REALM, *arguments, "--data", realm.data], capture_output=True, text=True)
    assert done.returncode not in (0, -11, -6) and word in done.stderr
