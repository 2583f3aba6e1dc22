"""The ledger: what answers say was used is what is recorded, priced, and kept through kill -9."""

import csv
import io
import random
import signal
import threading
import time

import openai
import pytest

from realm_server import RealmServer, wait_until
from test_limits import TINY, ask, key_of
from test_tenants import Commands, client_of

N_KILLS = 20
SLACK_S = 1.0  # what ended so long before a kill is on disk


@pytest.fixture
def served(own_server):
    server = own_server(models=(TINY,))
    return server, Commands(server.folder / "data")


def usage_when(realm, n_requests, *arguments):
    """Sums, once so many requests are in them."""
    def look():
        rows = realm.json("usage", *arguments)
        return rows if sum(row["requests"] for row in rows) >= n_requests else None

    return wait_until(look, 10, f"{n_requests} requests in the ledger")


def test_what_answers_say_is_what_is_recorded(served):
    server, realm = served
    realm("price", "set", "tiny", "--input", "2", "--cached", "0.5", "--output", "8.25", "--currency", "EUR")
    keys = [key_of(realm, name) for name in ("one", "two")]
    said = [ask(server, keys[0], prompt=range(5, 5 + n), n=n).parse().usage for n in (3, 40, 40)]
    ask(server, keys[1])
    rows = usage_when(realm, 4)
    assert [row["tenant"] for row in rows] == ["one", "two"]
    row = rows[0]
    assert row["requests"] == 3
    assert row["prompt_tokens"] == sum(u.prompt_tokens for u in said)
    assert row["cached_tokens"] == sum(u.prompt_tokens_details.cached_tokens for u in said) > 0
    assert row["completion_tokens"] == sum(u.completion_tokens for u in said)
    micro = ((row["prompt_tokens"] - row["cached_tokens"]) * 2 + row["cached_tokens"] * 0.5 +
             row["completion_tokens"] * 8.25)
    assert int(micro) == round(float(row["cost"]) * 1e6) and row["currency"] == "EUR"
    realm("price", "rm", "tiny")
    ask(server, keys[0])
    rows = usage_when(realm, 4, "--tenant", "one", "--by", "model")
    assert [(r["model"], r["currency"], r["requests"]) for r in rows] == [("tiny", "", 1), ("tiny", "EUR", 3)]
    table = list(csv.DictReader(io.StringIO(realm("usage", "--tenant", "one", "--csv"))))
    assert sum(int(r["requests"]) for r in table) == 4
    assert realm.json("usage", "--until", "2020-01-01", "--since", "2019-01-01") == []
    assert len(realm.json("usage", "--by", "key")) == 3 and len(realm.json("usage", "--by", "day")) in (2, 3, 4)


def test_refused_requests_are_not_recorded(served):
    server, realm = served
    key = key_of(realm, "acme", "--requests-per-minute", "1")
    ask(server, key)
    with pytest.raises(openai.RateLimitError):
        ask(server, key)
    with client_of(server, key) as client, pytest.raises(openai.BadRequestError):
        client.completions.create(model="tiny", prompt="x", temperature=9)
    usage_when(realm, 1)
    time.sleep(0.6)
    assert usage_when(realm, 1)[0]["requests"] == 1


def test_no_word_of_prompts_is_kept(served):
    server, realm = served
    key = key_of(realm, "acme")
    with client_of(server, key) as client:
        client.completions.create(model="tiny", prompt="zanzibar", max_tokens=2)
    usage_when(realm, 1)
    server.stop()
    for path in (server.folder / "data").rglob("*"):
        assert not path.is_file() or b"zanzibar" not in path.read_bytes(), path
    assert "zanzibar" not in server.log_path.read_text()


def start_again(folder):
    (folder / "port").unlink(missing_ok=True)
    return RealmServer(folder, models=(TINY,))


def test_a_days_limit_goes_on_after_a_restart(tmp_path):
    server = start_again(tmp_path)
    realm = Commands(tmp_path / "data")
    key = key_of(realm, "acme", "--tokens-per-day", "12")
    ask(server, key, n=5)
    server.stop()
    server = start_again(tmp_path)
    try:
        with pytest.raises(openai.RateLimitError, match="has 4 left"):
            ask(server, key, n=2)
    finally:
        server.stop()


class Client(threading.Thread):
    """Asks until the server is gone; remembers what was answered, and when."""

    def __init__(self, server, key):
        super().__init__()
        self.server, self.key = server, key
        self.n_sent, self.answered = 0, []
        self.start()

    def run(self):
        with client_of(self.server, self.key) as client:
            while True:
                self.n_sent += 1
                try:
                    answer = client.completions.create(model="tiny", prompt=[5, 6, 7], max_tokens=2,
                                                       extra_body={"ignore_eos": True})
                except openai.OpenAIError:
                    return
                self.answered.append((time.monotonic(), answer.usage.total_tokens))


def test_kill_9_loses_no_key_no_tenant_and_a_second_of_usage_at_most(tmp_path):
    source = random.Random(7)
    realm = Commands(tmp_path / "data")
    keys, n_sent, n_kept, tokens_kept = {}, 0, 0, 0
    server = start_again(tmp_path)
    for kill in range(N_KILLS):
        keys[f"t{kill}"] = key_of(realm, f"t{kill}")
        clients = [Client(server, source.choice(list(keys.values()))) for _ in range(3)]
        time.sleep(SLACK_S + source.uniform(0, 0.5))
        server.process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        server.process.wait()
        for client in clients:
            client.join()
            n_sent += client.n_sent
            kept = [tokens for at, tokens in client.answered if at < killed - SLACK_S]
            n_kept, tokens_kept = n_kept + len(kept), tokens_kept + sum(kept)
        server = start_again(tmp_path)
        assert {row["name"] for row in realm.json("tenant", "list")} == {"default", *keys}
    try:
        for key in keys.values():
            assert ask(server, key).parse().usage.total_tokens == 5
    finally:
        server.stop()
    rows = realm.json("usage")
    n_recorded = sum(row["requests"] for row in rows) - len(keys)
    tokens = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows) - 5 * len(keys)
    assert n_kept <= n_recorded <= n_sent
    assert tokens_kept <= tokens <= 5 * n_sent
    assert n_kept > 0
