"""Tenants' programs over HTTP: pushed, listed, run in three ways, bounded, and nobody else's."""

import json
import os
import re
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import requests
import wasmtime

from programs import echo, guest, speaker
from realm_server import KEY, SMOLLM2, wait_until
from test_ws import Client, text_of

REALM = os.environ["REALM"]
TESTS = Path(os.environ["REALM_TEST_DATA"])
GUESTS_IN_C = TESTS.parent / "guests" / "chat-c"
NODE_SCRIPT = TESTS / "node" / "programs.mjs"
TINY = str(TESTS / "golden" / "models" / "llama_tied.gguf")
ASK = {"messages": [{"role": "user", "content": "Hello"}]}


class Programs:
    """/v1/programs of one server with one key."""

    def __init__(self, server, key=KEY):
        self.server, self.key = server, key

    def call(self, method, path="", status=200, **options):
        answer = requests.request(method, self.server.url + "/v1/programs" + path, timeout=60,
                                  headers={"Authorization": "Bearer " + self.key}, **options)
        assert answer.status_code == status, answer.text
        return answer

    def get(self, path="", status=200):
        return self.call("GET", path, status).json()

    def post(self, path, body=None, status=200, **options):
        return self.call("POST", path, status, json=body, **options).json()

    def push(self, name, module, status=201, query="", method="POST"):
        return self.call(method, f"/{name}{query}", status, data=module).json()

    def remove(self, path, status=200):
        return self.call("DELETE", path, status).json()

    def run(self, name, body=None, status=200, query=""):
        return self.post(f"/{name}/run{query}", body if body is not None else {}, status)

    def client(self):
        return openai.OpenAI(base_url=self.server.url + "/v1", api_key=self.key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def shared(server):
    return Programs(server)


@pytest.fixture
def programs(shared):
    """Of the shared server; what a test leaves behind is removed."""
    yield shared
    for program in shared.get()["data"]:
        shared.remove("/" + program["name"])
    assert shared.get() == {"object": "list", "data": [], "default": None}


def new_key(server, tenant, *arguments):
    data = str(server.folder / "data")
    subprocess.run([REALM, "tenant", "create", tenant, "--data", data], capture_output=True)
    made = subprocess.run([REALM, "key", "create", "--tenant", tenant, "--json", "--data", data, *arguments],
                          check=True, capture_output=True, text=True)
    return json.loads(made.stdout)["key"]


def sse(answer):
    """[(event, data)] of a stream."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in answer.content.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if lines:
            events.append((lines.get("event"), json.loads(lines["data"])))
    return events


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_program_is_pushed_listed_shown_run_and_removed(programs, method):
    module = speaker(text="hi", log="note")
    pushed = programs.push("first", module, method=method)
    assert pushed["object"] == "program.version" and pushed["version"] == 1 and pushed["bytes"] == len(module)
    [listed] = programs.get()["data"]
    assert (listed["name"], listed["active_version"], listed["versions"]) == ("first", 1, 1)
    shown = programs.get("/first")
    assert [(v["version"], v["sha256"], v["active"]) for v in shown["versions"]] == [(1, pushed["sha256"], True)]
    assert [f["name"] for f in shown["functions"]] == ["realm_run"]
    answer = programs.run("first", {"x": 1})
    assert answer["output"] == "hi" and answer["result"] is None and answer["version"] == 1
    assert answer["log"] == [{"level": "info", "text": "note"}]
    assert answer["usage"]["output_bytes"] == 2 and answer["usage"]["host_calls"] == 2
    assert programs.remove("/first") == {"object": "program.deleted", "name": "first", "deleted": True}
    assert programs.get("/first", 404)["error"]["code"] == "program_not_found"


def test_versions_are_kept_tried_and_rolled_back(programs):
    for n in 1, 2:
        assert programs.push("story", speaker(text=f"version {n}"))["version"] == n
    assert programs.push("story", speaker(text="version 3"), query="?activate=false")["version"] == 3
    assert programs.run("story")["output"] == "version 2"
    assert programs.run("story", query="?version=3")["output"] == "version 3"
    assert programs.post("/story/activate", {"version": 1})["active_version"] == 1
    assert programs.run("story")["output"] == "version 1"
    assert programs.remove("/story/versions/1", 400)["error"]["message"].count("active")
    programs.remove("/story/versions/2")
    assert [v["version"] for v in programs.get("/story")["versions"]] == [1, 3]
    assert programs.post("/story/activate", {"version": 2}, 404)["error"]["code"] == "program_not_found"
    assert programs.run("story", query="?version=9", status=404)["error"]["code"] == "program_not_found"
    assert programs.push("story", speaker(text="version 4"))["version"] == 4


def test_programs_survive_a_restart_and_a_kill(own_server):
    server = own_server()
    programs = Programs(server)
    programs.push("a", speaker(text="one"))
    programs.push("a", speaker(text="two"))
    programs.post("/a/activate", {"version": 1})
    programs.push("b", speaker(text="other"))
    programs.call("PATCH", json={"default": "b"})
    before = programs.get("/a"), programs.get("/b"), programs.get()
    server.process.kill()
    server.process.wait()
    again = Programs(own_server("--data", str(server.folder / "data")))
    assert (again.get("/a"), again.get("/b"), again.get()) == before
    assert again.run("a")["output"] == "one"


def test_a_damaged_module_says_so_and_can_be_pushed_again(own_server):
    server = own_server()
    module = speaker(text="one")
    Programs(server).push("a", module)
    assert server.stop() == 0
    [path] = (server.folder / "data/programs/shelves").glob("t*/*.wasm")
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    again = Programs(own_server("--data", str(server.folder / "data")))
    assert "damaged" in again.run("a", status=400)["error"]["message"]
    assert "damaged" in again.get("/a")["error"]
    again.push("a", module)
    assert again.run("a")["output"] == "one"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("module, words", [
    (b"", "WebAssembly"),
    (b"no module", "WebAssembly"),
    (b"\0asm\1\0\0\0" + b"\xff" * 20, "section"),
    (speaker(text="x")[:-3], ""),
])
def test_a_bad_module_is_refused_with_the_reason(programs, module, words):
    error = programs.push("bad", module, 400)["error"]
    assert error["code"] == "invalid_format" and words in error["message"]
    assert programs.get()["data"] == []


@pytest.mark.parametrize("name", ["-x", ".x", "x" * 64, "a%20b", "a%22b"])
def test_a_bad_name_is_refused(programs, name):
    assert "name" in programs.push(name, speaker(text="x"), 400)["error"]["message"]


def test_a_module_that_is_too_large_is_refused(programs):
    assert programs.push("large", b"\0asm\1\0\0\0" + bytes(33 << 20), 413)["error"]["code"] == "body_too_large"


@pytest.mark.parametrize("path, body, field", [
    ("/x/run", {"stream": 1}, "stream"),
    ("/x/run", {"seed": "a"}, "seed"),
    ("/x/run", {"model": 5}, "model"),
    ("/x/activate", {"version": 0}, "version"),
    ("/x/activate", {}, "version"),
])
def test_a_bad_field_is_named(programs, path, body, field):
    programs.push("x", speaker(text="x"))
    assert programs.post(path, body, 400)["error"]["param"] == field


def test_what_is_not_there_is_not_found(programs):
    programs.push("x", speaker(text="x"))
    for call in [lambda: programs.run("y", status=404), lambda: programs.remove("/y", 404),
                 lambda: programs.get("/y/logs", 404), lambda: programs.post("/y/activate", {"version": 1}, 404),
                 lambda: programs.remove("/x/versions/7", 404),
                 lambda: programs.call("PATCH", status=404, json={"default": "y"}).json()]:
        assert call()["error"]["code"] == "program_not_found"
    assert programs.post("/x/functions/none", {}, 404)["error"]["code"] == "function_not_found"
    assert programs.run("x", {"model": "none"}, 404)["error"]["code"] == "model_not_found"


# --- running -------------------------------------------------------------------------------------


def test_a_run_gets_its_body_and_what_the_server_knows(programs):
    programs.push("echo", echo())
    body = {"seed": 7, "words": ["ä", {"b": None}], "stream": False}
    answer = programs.run("echo", body)
    assert answer["result"] == body
    assert answer["events"] == [{"program": "echo", "function": "realm_run", "version": 1, "model": "smollm2",
                                 "source": "run", "stream": False}]


def test_a_run_streams_its_events(programs):
    functions = [{"name": "tell", "description": "Tells.", "parameters": {"type": "object"}, "streaming": True}]
    programs.push("tell", speaker(text="hé", event='{"a":\n1}', log="l", result="[1,\r\n2]", functions=functions))
    assert programs.get("/tell")["functions"] == functions
    events = sse(programs.call("POST", "/tell/functions/tell", json={"stream": True}))
    assert events[:4] == [("text", {"text": "hé"}), ("event", {"a": 1}), ("log", {"level": "info", "text": "l"}),
                          ("result", [1, 2])]
    kind, done = events[4]
    assert kind == "done" and done["program"] == "tell" and done["usage"]["host_calls"] == 4 and len(events) == 5


def test_a_program_generates_beside_the_engine(programs, client):
    programs.push("plain", guest("chat"))
    answer = programs.run("plain", {"prompt": "The capital of France is"})
    assert len(answer["output"]) > 10 and answer["usage"]["completion_tokens"] == 20
    streamed = sse(programs.call("POST", "/plain/run", json={"prompt": "The capital of France is", "stream": True}))
    assert [kind for kind, _ in streamed[:-1]] == ["text"] * (len(streamed) - 1) and len(streamed) > 5
    usage = client.completions.create(model="smollm2", prompt="x", max_tokens=1)
    assert usage.usage.completion_tokens == 1


def test_a_program_embeds_what_the_embeddings_route_embeds(programs, client):
    programs.push("embeds", guest("embed"))
    body = '{"text":"A kitten is napping on the couch."}'
    answer = json.loads(programs.call("POST", "/embeds/run", data=body).content)
    embedding = client.embeddings.create(model="smollm2", input=body)
    assert list(struct.unpack("<576f", bytes.fromhex(answer["result"]))) == embedding.data[0].embedding
    assert answer["usage"]["prompt_tokens"] == 2 * embedding.usage.prompt_tokens  # the guest embeds twice
    assert answer["usage"]["completion_tokens"] == 0


def test_a_failing_program_is_told_of_with_its_code(programs):
    programs.push("fails", speaker(text="x", code=3))
    error = programs.run("fails", status=422)["error"]
    assert error["code"] == "program_failed" and error["type"] == "program_error" and "code 3" in error["message"]


def test_a_stream_that_fails_ends_with_an_error(programs):
    programs.push("fails", speaker(text="so far", spin=True))
    assert sse(programs.call("POST", "/fails/run", json={"stream": True})) == [
        ("text", {"text": "so far"}),
        ("error", {"error": {"message": "program fails: limit cpu_ms: the program went past the 500 it may have",
                             "type": "program_error", "param": "cpu_ms", "code": "program_limit_exceeded"}})]
    with programs.client() as client:
        with pytest.raises(openai.APIError, match="limit cpu_ms"):
            list(client.chat.completions.create(model="program:fails", stream=True, **ASK))


def test_a_breach_names_the_limit_in_answer_log_metrics_and_the_programs_log(programs):
    programs.push("spin", guest("spin"))

    def breaches():
        page = programs.server.get("/metrics")[1].decode()
        key = 'realm_sandbox_breaches_total{tenant="default",limit="cpu_ms"} '
        return sum(int(line.removeprefix(key)) for line in page.splitlines() if line.startswith(key))

    before = breaches()
    error = programs.run("spin", status=422)["error"]
    assert error["code"] == "program_limit_exceeded" and error["param"] == "cpu_ms"
    assert "limit cpu_ms" in error["message"] and "500" in error["message"]
    wait_until(lambda: breaches() == before + 1)
    line = next(line for line in reversed(programs.server.log()) if line["event"] == "program_failed")
    assert (line["program"], line["tenant"], line["limit"]) == ("spin", "default", "cpu_ms")
    [record] = programs.get("/spin/logs")["data"]
    assert record["limit"] == "cpu_ms" and record["status"] == "resource_exhausted" and record["ms"] >= 400


def test_logs_are_the_last_runs_newest_first(programs):
    programs.push("talk", speaker(log="a line"))
    for _ in range(70):
        programs.run("talk")
    records = programs.get("/talk/logs")["data"]
    assert len(records) == 64
    assert records[0]["log"] == [{"level": "info", "text": "a line"}] and records[0]["status"] == "ok"
    assert len({record["request"] for record in records}) == 64
    assert programs.get("/talk/logs?limit=2")["data"] == records[:2]
    assert programs.get("/talk/logs?limit=x", 400)["error"]["param"] == "limit"


def test_a_client_that_goes_away_ends_its_instance(programs):
    programs.push("waits", guest("chat"))
    before = programs.server.metric("realm_sandbox_runs_total")
    answer = requests.post(programs.server.url + "/v1/programs/waits/run", stream=True, timeout=60,
                           headers={"Authorization": "Bearer " + KEY}, json={"prompt": "Once", "stream": True})
    next(answer.iter_content(1))
    answer.close()
    wait_until(lambda: programs.server.metric("realm_sandbox_runs_total") == before + 1)
    wait_until(lambda: programs.server.metric("realm_sandbox_instances") == 0)
    wait_until(lambda: programs.get("/waits/logs")["data"])


# --- as a model ----------------------------------------------------------------------------------


def test_a_chat_client_talks_to_a_program(programs):
    programs.push("chat", speaker(text="Good day", event='{"step":1}', result='{"score":2}'))
    with programs.client() as client:
        answer = client.chat.completions.create(model="program:chat", **ASK)
        assert answer.choices[0].message.content == "Good day" and answer.choices[0].finish_reason == "stop"
        assert answer.model == "program:chat" and answer.object == "chat.completion"
        assert answer.program == {"version": 1, "result": {"score": 2}, "events": [{"step": 1}]}
        chunks = list(client.chat.completions.create(model="program:chat", stream=True, **ASK,
                                                     stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Good day"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 0 and chunks[-1].choices == []
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_the_guest_gets_the_chat_as_the_client_sent_it(programs):
    programs.push("echo", echo())
    with programs.client() as client:
        answer = client.chat.completions.create(model="program:echo", seed=4, extra_body={"own": [1]}, **ASK)
    assert json.loads(answer.choices[0].message.content) == {**ASK, "model": "program:echo", "seed": 4, "own": [1]}
    assert answer.program["events"][0]["source"] == "chat"


def test_errors_of_a_program_are_those_of_the_client_library(programs):
    programs.push("spin", guest("spin"))
    with programs.client() as client:
        with pytest.raises(openai.NotFoundError, match="there is no program none"):
            client.chat.completions.create(model="program:none", **ASK)
        with pytest.raises(openai.UnprocessableEntityError, match="limit cpu_ms"):
            client.chat.completions.create(model="program:spin", **ASK)
        with pytest.raises(openai.BadRequestError, match="messages"):
            client.chat.completions.create(model="program:spin", messages=None)


def test_a_default_program_stands_before_every_chat_and_before_no_call_of_its_own(programs):
    programs.push("guard", speaker(text="guarded"))
    with programs.client() as client:
        def ask(model):
            return client.chat.completions.create(model=model, max_tokens=3, **ASK)
        assert programs.call("PATCH", json={"default": "guard"}).json()["default"] == "guard"
        answer = ask("smollm2")
        assert answer.choices[0].message.content == "guarded" and answer.model == "smollm2"
        with pytest.raises(openai.NotFoundError, match="no model named"):
            ask("none")
        assert client.completions.create(model="smollm2", prompt="x", max_tokens=2).usage.completion_tokens == 2
        programs.push("guard", guest("chat"))
        assert len(ask("smollm2").choices[0].message.content) > 10
        assert programs.call("PATCH", json={"default": None}).json()["default"] is None
        assert ask("smollm2").usage.completion_tokens == 3
        programs.call("PATCH", json={"default": "guard"})
        programs.remove("/guard")
        assert programs.get()["default"] is None and ask("smollm2").usage.completion_tokens == 3


@pytest.fixture(scope="module")
def chat_c(tmp_path_factory):
    """The chat program in C of guests/, as its users build it."""
    out = tmp_path_factory.mktemp("chat-c")
    subprocess.run(["make", "-C", GUESTS_IN_C, f"OUT={out}"], check=True, capture_output=True, timeout=280)
    return (out / "chat-c.wasm").read_bytes()


def test_a_chat_program_answers_as_its_model_does(programs, client, chat_c):
    programs.push("chat", chat_c)
    question = {"temperature": 0, "messages": [{"role": "system", "content": "You are a helpful assistant."},
                                               {"role": "user", "content": "What is the capital of France?"}]}
    for n, reason in (4, "length"), (60, "stop"):
        alone = client.chat.completions.create(model="smollm2", max_tokens=n, **question)
        through = client.chat.completions.create(model="program:chat", max_tokens=n, **question)
        assert through.choices[0].message.content == alone.choices[0].message.content != ""
        assert through.choices[0].finish_reason == alone.choices[0].finish_reason == reason
        assert through.usage.prompt_tokens == alone.usage.prompt_tokens
        assert through.usage.completion_tokens == alone.usage.completion_tokens
        chunks = list(client.chat.completions.create(model="program:chat", max_tokens=n, stream=True, **question))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == alone.choices[0].message.content
        assert chunks[-1].choices[0].finish_reason == reason


def test_the_node_client_talks_to_a_program(programs, chat_c):
    programs.push("chat", chat_c)
    environment = {**os.environ, "REALM_URL": programs.server.url, "REALM_KEY": KEY, "REALM_PROGRAM": "chat"}
    done = subprocess.run(["node", NODE_SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr


def test_programs_and_plain_requests_run_at_once(programs, client, chat_c):
    """Eight guests and eight plain requests together give each what it gives alone."""
    programs.push("chat", chat_c)
    questions = [[{"role": "user", "content": f"Count from {n} to {n + 9}."}] for n in range(8)]

    def ask(model, messages):
        answer = client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=16)
        return answer.choices[0].message.content

    with ThreadPoolExecutor(16) as pool:
        through = [pool.submit(ask, "program:chat", messages) for messages in questions]
        alone = [pool.submit(ask, "smollm2", messages) for messages in questions]
        assert [f.result() for f in through] == [f.result() for f in alone]


def test_a_program_runs_over_a_websocket(programs, server):
    functions = [{"name": "tell", "description": "", "parameters": {"type": "object"}, "streaming": True}]
    programs.push("tell", speaker(text="hé", event='{"a":1}', result="[2]", functions=functions))
    programs.push("spin", guest("spin"))
    with Client(server) as ws:
        ws.request(1, kind="program", name="tell", function="tell", body={"stream": True})
        *events, done = ws.until_end(1)
        assert [(e["event"], e["data"]) for e in events[:3]] == [("text", {"text": "hé"}), ("event", {"a": 1}),
                                                                 ("result", [2])]
        assert events[3]["event"] == "done" and done["type"] == "done"
        ws.request(2, kind="program", name="tell", body={})
        result, _ = ws.until_end(2)
        assert result["data"]["output"] == "hé" and result["data"]["result"] == [2]
        ws.request(3, kind="program", name="spin", body={})
        [error] = ws.until_end(3)
        assert error["type"] == "error" and error["status"] == 422 and error["error"]["param"] == "cpu_ms"
        ws.request(4, body={"model": "program:tell", "stream": True, **ASK})
        assert text_of(ws.until_end(4)) == "hé"


# --- whose it is ---------------------------------------------------------------------------------


def test_another_tenants_programs_are_not_there(own_server):
    server = own_server()
    ours, theirs = Programs(server), Programs(server, new_key(server, "other", "--scopes", "all"))
    ours.push("mine", guest("world"))
    assert ours.run("mine")["log"][0]["text"] == "x"
    for call in [lambda: theirs.get("/mine", 404), lambda: theirs.run("mine", status=404),
                 lambda: theirs.remove("/mine", 404), lambda: theirs.get("/mine/logs", 404)]:
        assert call()["error"]["code"] == "program_not_found"
    with theirs.client() as client, pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="program:mine", **ASK)
    assert theirs.get()["data"] == []
    theirs.push("mine", guest("world"))
    assert theirs.run("mine")["log"][0]["text"] == "x", "a store of its own"
    assert ours.run("mine")["log"][0]["text"] == "xx"


def test_scopes_hold(own_server):
    server = own_server()
    runner = Programs(server, new_key(server, "acme", "--scopes", "inference"))
    maker = Programs(server, new_key(server, "acme", "--scopes", "programs"))
    runner.push("p", speaker(text="x"), 403)
    maker.push("p", speaker(text="x"))
    assert runner.get()["data"] == maker.get()["data"] != []
    assert runner.run("p")["output"] == "x"
    maker.run("p", status=403)
    runner.get("/p/logs", 403)
    runner.remove("/p", 403)
    runner.call("PATCH", status=403, json={"default": "p"})
    maker.remove("/p")


# --- what it costs -------------------------------------------------------------------------------


def test_what_a_program_takes_is_charged_to_tenant_and_key(own_server):
    server = own_server()
    programs = Programs(server, new_key(server, "acme", "--scopes", "all", "--tokens-per-day", "60"))
    programs.push("plain", guest("chat"))
    first = programs.run("plain", {"prompt": "Once upon a time"})["usage"]["total_tokens"]
    assert 20 < first < 60
    left = 60 - first
    with programs.client() as client:
        with pytest.raises(openai.RateLimitError, match=f"has {left} left"):
            client.completions.create(model="smollm2", prompt="x", max_tokens=left)
    while left > 0:
        left -= programs.run("plain", {"prompt": "Once upon a time"})["usage"]["total_tokens"]
    error = programs.run("plain", {"prompt": "Once upon a time"}, 429)["error"]
    assert error["code"] == "quota_exceeded" and "60 tokens a day" in error["message"]


def test_what_a_program_takes_counts_while_it_runs(own_server, chat_c):
    server = own_server()
    programs = Programs(server, new_key(server, "acme", "--scopes", "all", "--tokens-per-day", "300"))
    programs.push("chat", chat_c)
    answer = requests.post(server.url + "/v1/chat/completions", stream=True, timeout=60,
                           headers={"Authorization": "Bearer " + programs.key},
                           json={"model": "program:chat", "stream": True, "max_tokens": 250, "temperature": 0,
                                 "messages": [{"role": "user", "content": "Tell me a long story about the sea."}]})
    chunks = (line for line in answer.iter_lines() if line.startswith(b"data: {"))
    for _ in range(20):
        next(chunks)
    with programs.client() as client, pytest.raises(openai.RateLimitError, match="has [0-9]+ left") as caught:
        client.completions.create(model="smollm2", prompt="x", max_tokens=299)
    assert int(re.search(r"has (\d+) left", str(caught.value))[1]) <= 300 - 20
    assert sum(1 for _ in chunks) > 20  # it ran on meanwhile, and to its end


def test_a_client_that_goes_pays_for_what_its_program_took(own_server):
    server = own_server()
    programs = Programs(server, new_key(server, "acme", "--scopes", "all", "--tokens-per-day", "1000"))
    programs.push("plain", guest("chat"))
    answer = requests.post(server.url + "/v1/programs/plain/run", stream=True, timeout=60,
                           headers={"Authorization": "Bearer " + programs.key},
                           json={"prompt": "Once upon a time", "stream": True})
    next(answer.iter_content(1))
    answer.close()
    line = wait_until(lambda: next((line for line in server.log() if line.get("path", "").endswith("/run")), None))
    used = line["prompt_tokens"] + line["completion_tokens"]
    assert used > 5
    with programs.client() as client, pytest.raises(openai.RateLimitError, match="tokens a day") as caught:
        client.completions.create(model="smollm2", prompt="x", max_tokens=1000)
    assert int(re.search(r"has (\d+) left", str(caught.value))[1]) <= 1000 - used + 1


def test_a_key_for_one_model_opens_no_other_in_a_program(own_server):
    server = own_server(models=("smollm2=" + SMOLLM2, "tiny=" + TINY))
    programs = Programs(server)
    programs.push("opens", wasmtime.wat2wasm("""(module
      (import "realm_v1" "model_open" (func $open (param i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "tiny")
      (func (export "realm_run") (result i32)
        (if (i32.lt_s (call $open (i32.const 0) (i32.const 0)) (i32.const 1)) (then (return (i32.const 1))))
        (if (i32.lt_s (call $open (i32.const 0) (i32.const 4)) (i32.const 1)) (then (return (i32.const 2))))
        (i32.const 0)))"""))
    programs.run("opens")
    bound = Programs(server, new_key(server, "default", "--scopes", "inference", "--models", "smollm2"))
    assert "code 2" in bound.run("opens", status=422)["error"]["message"]
    assert bound.run("opens", {"model": "tiny"}, 403)["error"]["code"] == "permission_denied"


# --- a tenant's own limits -----------------------------------------------------------------------


@pytest.fixture
def bounded(own_server):
    """A server, and a function that sets limits of the tenant whose key it is."""
    server = own_server(models=(f"tiny={TINY}",))

    def limit(**limits):
        answer = requests.patch(server.url + "/admin/v1/tenants/default", json=limits, timeout=60,
                                headers={"Authorization": "Bearer " + KEY})
        assert answer.status_code == 200 and answer.json().items() >= limits.items(), answer.text

    return Programs(server), limit


@pytest.mark.parametrize("name, value, module", [
    ("program_cpu_ms", 50, lambda: guest("spin")),
    ("program_fuel", 100000, lambda: guest("spin")),
    ("program_memory_bytes", 1 << 16, lambda: guest("above_4gb")),
    ("program_output_bytes", 3, lambda: speaker(text="four")),
    ("program_table_elements", 1500, lambda: guest("grow_table")),
    ("program_handles", 10, lambda: guest("handles")),
    ("program_host_calls", 1000, lambda: guest("storm")),
    ("program_sequences", 5, lambda: guest("sequences")),
    ("program_sequence_tokens", 450, lambda: guest("tokens")),
])
def test_a_run_ends_at_its_tenants_own_limit(bounded, name, value, module):
    programs, limit = bounded
    inner = name.removeprefix("program_")
    programs.push("x", module())
    limit(**{name: value})
    error = programs.run("x", status=422)["error"]
    assert (error["code"], error["param"]) == ("program_limit_exceeded", inner)
    if inner != "fuel":
        assert str(value) in error["message"]
    page = programs.server.get("/metrics")[1].decode()
    assert f'realm_sandbox_breaches_total{{tenant="default",limit="{inner}"}} 1\n' in page
    wait_until(lambda: any(line["event"] == "program_failed" and line["limit"] == inner
                           for line in programs.server.log()), what="the log of the breach")


def test_a_tenants_own_limits_of_pushing_are_told_counted_and_logged(bounded):
    programs, limit = bounded
    module = speaker(text="hi")

    def refused(name, module=module):
        error = programs.push("second", module, 422)["error"]
        assert (error["code"], error["param"]) == ("program_limit_exceeded", name)
        page = programs.server.get("/metrics")[1].decode()
        assert f'realm_sandbox_breaches_total{{tenant="default",limit="{name}"}} 1\n' in page
        wait_until(lambda: any(line["event"] == "program_refused" and line["limit"] == name
                               for line in programs.server.log()))

    programs.push("first", module)
    limit(max_programs=1)
    refused("programs")
    limit(max_programs=0, program_module_bytes=10)
    refused("module_bytes")
    limit(program_module_bytes=0, program_compile_ms=1)
    refused("compile_ms", guest("spin"))  # not one that was compiled before
    limit(program_compile_ms=0)
    programs.push("second", module)


def test_a_tenants_own_bound_of_what_programs_keep(bounded):
    """A counter that grows by a byte a run: the call that would pass the bound fails, and what was kept stays."""
    programs, limit = bounded
    programs.push("counter", guest("world"))
    programs.run("counter")
    limit(program_stored_bytes=1)
    assert programs.run("counter", status=422)["error"]["code"] == "program_failed"
    limit(program_stored_bytes=0)
    programs.run("counter")


def test_no_more_programs_run_at_once_than_their_tenant_may(bounded):
    programs, limit = bounded
    programs.push("mirror", guest("wait_for_input"))
    limit(program_instances=1)
    with Client(programs.server) as ws:
        ws.request(1, kind="program", name="mirror", body={"stream": True})
        ws.send(type="input", id=1, data=0)
        assert hears(ws) == "0"
        assert "limit instances" in programs.run("mirror", status=429)["error"]["message"]
        limit(program_instances=2)
        assert programs.run("mirror")["output"] == ""


def test_a_limit_of_programs_is_bounded_and_a_tenants_alone(bounded):
    programs, _ = bounded
    def patch(path, body):
        return requests.patch(programs.server.url + "/admin/v1" + path, json=body, timeout=60,
                              headers={"Authorization": "Bearer " + KEY})
    answer = patch("/tenants/default", {"program_memory_bytes": (8 << 30) + 1})
    assert answer.status_code == 400 and str(8 << 30) in answer.json()["error"]["message"]
    key = requests.post(programs.server.url + "/admin/v1/keys", json={"tenant": "default", "program_fuel": 1},
                        headers={"Authorization": "Bearer " + KEY}, timeout=60)
    assert key.status_code == 400 and key.json()["error"]["param"] == "program_fuel"


def test_max_context_bounds_the_sequences_of_programs(own_server, chat_c):
    server = own_server()
    Programs(server).push("chat", chat_c)
    key = new_key(server, "default", "--scopes", "inference", "--max-context", "60")
    bound = Programs(server, key)
    question = {"temperature": 0, "messages": [{"role": "user", "content": "Tell me a very long story about the sea."}]}
    answer = bound.run("chat", question)
    assert answer["usage"]["total_tokens"] == 60
    assert Programs(server).run("chat", {**question, "max_tokens": 50})["usage"]["completion_tokens"] == 50
    long = {"messages": [{"role": "user", "content": "word " * 100}]}
    assert "the context has 60" in bound.run("chat", long, 422)["error"]["message"]


# --- messages to a running program ---------------------------------------------------------------


def texts(messages):
    return [message["data"]["text"] for message in messages if message.get("event") == "text"]


def hears(ws, id=1):
    """What a run that says each message back has said, up to now."""
    message = ws.receive()
    assert message["id"] == id and message["event"] == "text"
    return message["data"]["text"]


@pytest.fixture
def mirror(programs):
    """A program that says each message back, to the end of its input."""
    programs.push("mirror", guest("wait_for_input"))
    return {"kind": "program", "name": "mirror", "body": {"stream": True}}


def test_a_running_program_hears_its_client(mirror, server):
    with Client(server) as ws:
        ws.request(1, **mirror)
        for data in ("Hi", 7, None, {"a": ["é", True]}, []):
            ws.send(type="input", id=1, data=data)
            assert json.loads(hears(ws)) == data
        ws.send(type="input_end", id=1)
        last, done = ws.until_end(1)
        assert last["event"] == "done" and done["type"] == "done"


def test_messages_before_the_run_has_begun_are_kept_in_order(mirror, server):
    with Client(server) as ws:
        ws.request(1, **mirror)
        for n in range(40):
            ws.send(type="input", id=1, data=n)
        ws.send(type="input_end", id=1)
        assert "".join(texts(ws.until_end(1))) == "".join(str(n) for n in range(40))


def test_messages_reach_a_resumed_run(mirror, server):
    first = Client(server)
    first.request(1, **mirror)
    first.send(type="input", id=1, data="before")
    assert hears(first) == '"before"'
    first.drop()
    with Client(server) as second:
        second.send(type="resume", id=1, session=first.session, after=1)
        second.send(type="input", id=1, data="after")
        assert hears(second) == '"after"'
        second.send(type="input_end", id=1)
        assert second.until_end(1)[-1]["type"] == "done"


def test_a_program_that_does_not_read_gets_no_more_than_its_mailbox_holds(programs, server, chat_c):
    programs.push("chat", chat_c)
    story = [{"role": "user", "content": "Tell me a very long story."}]
    with Client(server) as ws:
        ws.request(1, kind="program", name="chat", body={"stream": True, "max_tokens": 2000, "messages": story})
        ws.receive()
        for _ in range(40):
            ws.send(type="input", id=1, data="x" * 60000)
        while "sequence" in (refused := ws.receive()):
            assert refused["type"] == "event"
        assert (refused["status"], refused["error"]["code"]) == (429, "input_full")
        ws.send(type="cancel", id=1)
        while (last := ws.receive()).get("status") != 499:
            assert last["type"] == "event" or last["error"]["code"] == "input_full"
    wait_until(lambda: server.metric("realm_sandbox_instances") == 0)


def test_messages_that_cannot_be_given_are_refused(mirror, programs, server):
    with Client(server) as ws:
        assert ws.refusal(type="input", id=1, data=1) == (404, "not_running")
        ws.request(1, **mirror)
        ws.send(type="input", id=1, data=0)
        assert hears(ws) == "0"
        assert ws.refusal(type="input", id=1, data="x" * 70000) == (413, "input_too_large")
        assert ws.refusal(type="input", id=1)[0] == 400
        assert ws.refusal(type="input_end", id=1, data=1)[0] == 400
        ws.socket.send('{"type":"input","id":1,"data":{"a":}}')
        assert ws.receive()["status"] == 400
        ws.request(2, body={"model": "smollm2", "stream": True, "max_tokens": 2000, **ASK})
        assert ws.receive()["id"] == 2
        ws.send(type="input", id=2, data=1)
        while "sequence" in (refused := ws.receive()):
            pass
        assert (refused["status"], refused["error"]["code"]) == (400, "takes_no_input")
        ws.send(type="cancel", id=2)
        ws.until_end(2)
        ws.send(type="input_end", id=1)
        ws.send(type="input", id=1, data=1)
        codes = [m.get("error", {}).get("code") for m in (ws.receive() for _ in range(3))]
        assert {code for code in codes if code} <= {"input_ended", "not_running"} and any(codes)


def test_over_http_no_message_comes(programs):
    programs.push("mirror", guest("wait_for_input"))
    assert programs.run("mirror")["output"] == ""


def test_a_conversation_takes_turns(programs, server, tmp_path):
    subprocess.run(["make", "-C", TESTS.parent / "guests" / "talk", f"OUT={tmp_path}"], check=True,
                   capture_output=True, timeout=280)
    programs.push("talk", (tmp_path / "talk.wasm").read_bytes())
    said = ["What is the capital of France?", "And of Italy?"]
    history = []
    with Client(server) as ws, programs.client() as client:
        ws.request(1, kind="program", name="talk", body={"stream": True, "temperature": 0, "max_tokens": 12})
        for turn, words in enumerate(said, 1):
            ws.send(type="input", id=1, data=words)
            answer = ""
            while (message := ws.receive())["event"] == "text":
                answer += message["data"]["text"]
            assert message["data"]["turn"] == turn
            history.append({"role": "user", "content": words})
            alone = client.chat.completions.create(model="smollm2", messages=history, temperature=0, max_tokens=12)
            assert answer == alone.choices[0].message.content != ""
            history.append({"role": "assistant", "content": answer})
        ws.send(type="input_end", id=1)
        assert ws.until_end(1)[-1]["type"] == "done"
