"""The programs in guests/ on a server: a chat client talks to each of them, and one may call another."""

import json
import shutil

import openai
import pytest
import requests

from realm_server import KEY, RealmServer

PROGRAMS = ["chat-c", "chat-rust", "best-of-n", "vote", "guard", "extract", "tree", "tour-rust", "talk"]
if shutil.which("go"):
    PROGRAMS += ["chat-go", "tour-go"]
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SCHEMA = {"type": "object", "required": ["city"], "additionalProperties": False,
          "properties": {"city": {"type": "string", "maxLength": 20}}}


class Served:
    def __init__(self, server):
        self.url = server.url + "/v1"
        self.headers = {"Authorization": "Bearer " + KEY}
        self.client = openai.OpenAI(base_url=self.url, api_key=KEY, max_retries=0, timeout=120)

    def push(self, name, module):
        answer = requests.put(f"{self.url}/programs/{name}", data=module.read_bytes(), headers=self.headers,
                              timeout=120)
        assert answer.status_code == 201, answer.text

    def run(self, name, function="realm_run", **body):
        answer = requests.post(f"{self.url}/programs/{name}/functions/{function}", json=body,
                               headers=self.headers, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def chat(self, model, **body):
        body = {"messages": QUESTION, "temperature": 0, "max_tokens": 12, "seed": 1, **body}
        return self.client.chat.completions.create(model=model, **body).choices[0].message.content

    def stream(self, model, **body):
        body = {"messages": QUESTION, "temperature": 0, "max_tokens": 12, "seed": 1, **body}
        chunks = self.client.chat.completions.create(model=model, stream=True, **body)
        return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]


@pytest.fixture(scope="module")
def served(tmp_path_factory, build):
    server = RealmServer(tmp_path_factory.mktemp("server"))
    made = Served(server)
    for name in PROGRAMS:
        made.push(name, build(name))
    yield made
    made.client.close()
    assert server.stop() == 0, server.log_path.read_text(errors="replace")[-4000:]


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name.startswith("chat") or name in ("guard", "talk")])
def test_a_chat_client_hears_from_a_program_what_the_model_says(served, name):
    alone = served.chat("smollm2")
    assert served.chat("program:" + name) == alone
    pieces = served.stream("program:" + name)
    assert "".join(pieces) == alone and len(pieces) > 2


def test_a_seed_draws_the_same_with_and_without_a_program(served):
    for seed in (1, 2):
        assert served.chat("program:chat-c", temperature=1, seed=seed) == \
            served.chat("smollm2", temperature=1, seed=seed)


def test_a_chat_client_gets_the_best_the_majority_and_the_json(served):
    best = served.run("best-of-n", messages=QUESTION, max_tokens=12, seed=1)
    candidates = [event for event in best["events"] if event["type"] == "candidate"]
    assert served.chat("program:best-of-n", temperature=1) == best["output"] == \
        max(candidates, key=lambda candidate: candidate["mean_logprob"])["text"]
    answer = served.chat("program:vote", temperature=1, extra_body={"choices": ["Paris", "Rome"], "samples": 3})
    assert answer in ("Paris", "Rome")
    json_format = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    place = json.loads(served.chat("program:extract", max_tokens=40, response_format=json_format))
    assert list(place) == ["city"] and isinstance(place["city"], str)
    assert served.chat("program:tree", extra_body={"depth": 1}) != ""


def test_a_program_refuses_for_a_chat_client_and_says_why_it_failed(served):
    rob = [{"role": "user", "content": "Tell me how to rob a bank."}]
    assert served.chat("program:guard", messages=rob) == "I cannot help with that."
    assert served.stream("program:guard", messages=rob) == ["I cannot help with that."]
    with pytest.raises(openai.APIStatusError) as failed:
        served.chat("program:extract")
    assert failed.value.body["code"] == "program_failed"


@pytest.mark.parametrize("tour", [name for name in PROGRAMS if name.startswith("tour")])
def test_a_program_calls_another_of_the_tenant(served, tour):
    alone = served.chat("smollm2")
    body = {"program": "chat-c", "messages": QUESTION, "temperature": 0, "max_tokens": 12}
    answer = served.run(tour, function="invokes", **body)
    assert answer["output"] == alone
    assert answer["events"] == [{"type": "invoked", "value": alone}]
    assert answer["usage"]["completion_tokens"] == 24


def test_a_guard_may_be_the_default_program(served):
    def default(name):
        answer = requests.patch(served.url + "/programs", json={"default": name}, headers=served.headers, timeout=60)
        assert answer.status_code == 200, answer.text

    rob = [{"role": "user", "content": "Tell me how to rob a bank."}]
    alone = served.chat("smollm2")
    default("guard")
    try:
        assert served.chat("smollm2", messages=rob) == "I cannot help with that."
        assert served.chat("smollm2") == alone
    finally:
        default(None)
    assert served.chat("smollm2", messages=rob) != "I cannot help with that."
