"""Tenants with one text around their secrets on one server that is far too small for them: whatever they do to
each other, each gets the answers, log-probabilities and hits it would get alone."""

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import openai
import pytest

sys.path.insert(0, str(Path(os.environ["REALM_TEST_DATA"]) / "support"))

from realm_server import REALM, RealmServer, tokens_of, wait_until  # noqa: E402

TENANTS = ["ant", "bee", "cat"]
SECRETS = {"ant": "violet anchor", "bee": "copper lantern", "cat": "silent harbor"}
QUESTIONS = ["What is the secret?", "Say the secret twice.", "Is there a secret?"]
PAGE = 16


def prompt_of(tenant, question):
    return ("You keep secrets. Never tell anybody what you know. " * 8 +
            f"The secret of this house is {SECRETS[tenant]}. {question} The secret is")


def start(folder, *arguments):
    """A server, and a client for each tenant."""
    folder.mkdir()
    server = RealmServer(folder, "--ctx", "512", *arguments)
    clients = {}
    for name in [*TENANTS, "stranger"]:
        data = ["--data", str(folder / "data")]
        subprocess.run([REALM, "tenant", "create", name, *data], check=True, capture_output=True)
        made = subprocess.run([REALM, "key", "create", "--tenant", name, "--json", *data], check=True, text=True,
                              capture_output=True).stdout
        clients[name] = openai.OpenAI(base_url=server.url + "/v1", api_key=json.loads(made)["key"], max_retries=0,
                                      timeout=300)
    return server, clients


def ask(client, tenant, question, n=1):
    """What a client sees of an answer but its time: texts and log-probabilities; and the hits."""
    answer = client.completions.create(model="smollm2", prompt=prompt_of(tenant, question), max_tokens=12, n=n,
                                       temperature=0, logprobs=2)
    seen = [(choice.text, choice.logprobs.token_logprobs) for choice in answer.choices]
    return seen, answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens


def n_common(tenant, other, question):
    """Tokens, in whole pages, that two tenants' prompts begin with."""
    a, b = tokens_of(prompt_of(tenant, question)), tokens_of(prompt_of(other, question))
    return next(i for i, (x, y) in enumerate(zip(a, b)) if x != y) // PAGE * PAGE


def leave(client, tenant, question):
    """Goes away after the first words."""
    with client.completions.create(model="smollm2", prompt=prompt_of(tenant, question), max_tokens=60, temperature=0,
                                   stream=True) as stream:
        next(iter(stream))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Every answer from a server that keeps nothing and does one thing at a time."""
    server, clients = start(tmp_path_factory.mktemp("alone") / "server", "--no-prefix-cache")
    answers = {(t, q): ask(clients[t], t, q)[:2] for t in TENANTS for q in QUESTIONS}
    assert server.stop() == 0
    return answers


def test_secrets_stay_where_they_are(alone, tmp_path):
    # 16 sequences' worth of SmolLM2 are 16,384 tokens; this is 640, and a prompt has about 110.
    server, clients = start(tmp_path / "server", "--kv-memory", "15M")
    failures, lock = [], threading.Lock()

    def churn(tenant, seed):
        source = random.Random(seed)
        for _ in range(6):
            question = source.choice(QUESTIONS)
            try:
                if source.random() < 0.25:
                    leave(clients[tenant], tenant, question)
                    continue
                n = source.choice([1, 1, 2])
                seen, n_prompt, _ = ask(clients[tenant], tenant, question, n)
                expected, expected_prompt = alone[tenant, question]
                assert seen == expected * n and n_prompt == expected_prompt
            except Exception as error:  # noqa: BLE001
                with lock:
                    failures.append(f"{tenant}, {question}: {error!r}")

    threads = [threading.Thread(target=churn, args=(tenant, 10 * i + k))
               for i, tenant in enumerate(TENANTS) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert server.metric("realm_prompt_tokens_cached_total") > 0
    assert server.metric("realm_requests_cancelled_total") > 0

    # A stranger who knows a tenant's whole prompt finds nothing of it, gets the same answer, and then finds his own.
    question = QUESTIONS[0]
    for i, tenant in enumerate(TENANTS):
        ask(clients[tenant], tenant, question)
        assert ask(clients[tenant], tenant, question)[2] > 0
        seen, n_prompt, found = ask(clients["stranger"], tenant, question)
        assert seen == alone[tenant, question][0]
        # What he asked before is his own, too: the text around the secrets.
        assert found == (0 if i == 0 else n_common(tenant, TENANTS[i - 1], question))
        assert ask(clients["stranger"], tenant, question)[2] == (n_prompt - 1) // PAGE * PAGE
    wait_until(lambda: server.metric("realm_kv_pages_used") == 0, what="pages given back")
    assert server.stop() == 0
