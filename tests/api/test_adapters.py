"""LoRA adapters of tenants: pushed, listed, used by name, kept over a restart, and nobody else's."""

import http.client
import json
import os
import shutil
import subprocess
from pathlib import Path

import openai
import pytest
import requests

from programs import guest
from realm_server import KEY, RealmServer

REALM = os.environ["REALM"]
GOLDEN = Path(os.environ["REALM_TEST_DATA"]) / "golden"
MODELS = tuple(f"{name}={GOLDEN / 'models' / name}.gguf" for name in ("llama_tied", "phi3"))
LLAMA = (GOLDEN / "adapters" / "llama_tied.gguf").read_bytes()
PEFT = GOLDEN / "adapters" / "llama_tied_peft"
PHI3 = (GOLDEN / "adapters" / "phi3.gguf").read_bytes()
PROMPT = "once upon a time there was a server that learned to speak in a style of its own"


class Adapters:
    """/v1/adapters of one server with one key."""

    def __init__(self, server, key=KEY):
        self.server, self.key = server, key

    def call(self, method, path, status=200, **options):
        answer = requests.request(method, self.server.url + path, timeout=60,
                                  headers={"Authorization": "Bearer " + self.key}, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    def push(self, name, data=LLAMA, model="llama_tied", status=201, method="POST"):
        return self.call(method, f"/v1/adapters/{name}", status, data=data, params={"model": model})

    def list(self):
        return self.call("GET", "/v1/adapters")["data"]

    def remove(self, name, status=200):
        return self.call("DELETE", "/v1/adapters/" + name, status)

    def complete(self, model, status=200, **fields):
        body = {"model": model, "prompt": PROMPT, "max_tokens": 12, "temperature": 0, "ignore_eos": True, **fields}
        return self.call("POST", "/v1/completions", status, json=body)

    def text(self, model, **fields):
        return self.complete(model, **fields)["choices"][0]["text"]

    def models(self):
        return [model["id"] for model in self.call("GET", "/v1/models")["data"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = RealmServer(tmp_path_factory.mktemp("adapters"), models=MODELS)
    yield running
    assert running.stop() == 0, running.log_path.read_text(errors="replace")[-4000:]


@pytest.fixture
def mine(server):
    """The first tenant's; what a test leaves behind is removed."""
    adapters = Adapters(server)
    yield adapters
    for item in adapters.list():
        adapters.remove(item["name"])
    assert adapters.list() == []


def new_key(server, tenant, *arguments):
    data = str(server.folder / "data")
    subprocess.run([REALM, "tenant", "create", tenant, "--data", data], capture_output=True)
    made = subprocess.run([REALM, "key", "create", "--tenant", tenant, "--json", "--data", data, *arguments],
                          check=True, capture_output=True, text=True)
    return json.loads(made.stdout)["key"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_adapter_is_pushed_listed_shown_and_removed(mine, method):
    pushed = mine.push("style", method=method)
    assert (pushed["object"], pushed["name"], pushed["model"]) == ("adapter", "style", "llama_tied")
    assert pushed["bytes"] == len(LLAMA) and pushed["loaded"] is True
    assert mine.server.metric("realm_adapters") == 1 and mine.server.metric("realm_adapter_bytes") > 0
    assert mine.list() == [pushed] and mine.call("GET", "/v1/adapters/style") == pushed
    assert mine.models() == ["llama_tied", "phi3", "llama_tied@style"]
    shown = mine.call("GET", "/v1/models/llama_tied@style")
    assert (shown["id"], shown["context_length"]) == ("llama_tied@style", 128)
    assert mine.remove("style") == {"object": "adapter.deleted", "name": "style", "deleted": True}
    assert mine.models() == ["llama_tied", "phi3"]
    assert mine.remove("style", 404)["error"]["code"] == "adapter_not_found"
    assert mine.call("GET", "/v1/adapters/style", 404)["error"]["code"] == "adapter_not_found"
    assert mine.call("GET", "/v1/models/llama_tied@style", 404)["error"]["code"] == "adapter_not_found"


def test_every_route_that_generates_takes_model_at_name(mine):
    plain = mine.text("llama_tied")
    mine.push("style")
    answer = mine.complete("llama_tied@style")
    styled = answer["choices"][0]["text"]
    assert answer["model"] == "llama_tied@style" and styled != plain
    assert mine.text("llama_tied") == plain and mine.text("llama_tied@style") == styled
    with openai.OpenAI(base_url=mine.server.url + "/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        pieces = list(client.completions.create(model="llama_tied@style", prompt=PROMPT, max_tokens=12,
                                                temperature=0, stream=True, extra_body={"ignore_eos": True}))
        assert "".join(piece.choices[0].text for piece in pieces) == styled
        assert {piece.model for piece in pieces} == {"llama_tied@style"}
    ids = mine.call("POST", "/tokenize", json={"model": "llama_tied@style", "content": PROMPT})
    assert ids == mine.call("POST", "/tokenize", json={"model": "llama_tied", "content": PROMPT})
    vectors = [mine.call("POST", "/v1/embeddings", json={"model": model, "input": PROMPT})["data"][0]["embedding"]
               for model in ("llama_tied", "llama_tied@style")]
    assert vectors[0] != vectors[1]


def test_pages_are_shared_within_an_adapter_only(mine):
    def cached(model):
        return mine.complete(model)["usage"]["prompt_tokens_details"]["cached_tokens"]

    mine.push("one")
    mine.push("two")
    mine.complete("llama_tied")
    assert cached("llama_tied@one") == 0 and cached("llama_tied@two") == 0
    assert cached("llama_tied@one") > 0 and cached("llama_tied@two") > 0
    mine.push("one")  # another load of the same bytes is another adapter
    assert cached("llama_tied@one") == 0


def test_a_push_replaces_and_may_change_the_model(mine):
    mine.push("style")
    styled = mine.text("llama_tied@style")
    mine.push("style", PHI3, "phi3")
    assert [(item["name"], item["model"]) for item in mine.list()] == [("style", "phi3")]
    assert mine.complete("llama_tied@style", 404)["error"]["code"] == "adapter_not_found"
    assert mine.text("phi3@style") != mine.text("phi3")
    mine.push("style")
    assert mine.text("llama_tied@style") == styled


def test_other_tenants_neither_see_nor_reach_it(mine):
    other = Adapters(mine.server, new_key(mine.server, "other", "--scopes", "inference,programs"))
    mine.push("style")
    assert other.list() == [] and other.models() == ["llama_tied", "phi3"]
    for status, answer in ((404, other.complete("llama_tied@style", 404)), (404, other.remove("style", 404))):
        assert answer["error"]["code"] == "adapter_not_found"
    other.push("style", PHI3, "phi3")  # the same name, its own
    assert [item["model"] for item in mine.list()] == ["llama_tied"]
    assert other.complete("llama_tied@style", 404) and other.text("phi3@style")
    other.remove("style")
    assert [item["name"] for item in mine.list()] == ["style"] and mine.text("llama_tied@style")


def test_a_key_that_may_only_ask_cannot_push(mine):
    asking = Adapters(mine.server, new_key(mine.server, "default", "--scopes", "inference"))
    assert asking.push("style", status=403)["error"]["code"] == "permission_denied"
    mine.push("style")
    assert asking.text("llama_tied@style") == mine.text("llama_tied@style")
    asking.remove("style", 403)


def test_a_key_of_one_model_has_adapters_of_that_one_only(mine):
    bound = Adapters(mine.server, new_key(mine.server, "default", "--models", "phi3"))
    mine.push("style")
    mine.push("other", PHI3, "phi3")
    assert bound.text("phi3@other")
    assert bound.complete("llama_tied@style", 403)


@pytest.mark.parametrize("data, words", [
    (b"", "GGUF"), (b"x" * 100, "GGUF"), (LLAMA[:-40], ""), (LLAMA[:200], ""),
    ((GOLDEN / "models" / "llama_tied.gguf").read_bytes(), "adapter"),
    (PHI3, 'general.architecture is "phi3", not "llama"'),
    ((GOLDEN / "adapters" / "llama_untied_q8_0.gguf").read_bytes(), "output.weight"),
])
def test_bad_files_are_refused_with_the_reason(mine, data, words):
    mine.push("style")
    before = mine.list()
    refused = mine.push("style", data, status=400)["error"]
    assert words in refused["message"], refused
    assert mine.list() == before and mine.text("llama_tied@style")


def test_bad_requests_are_refused(mine):
    assert mine.push("style", model="none", status=404)["error"]["code"] == "model_not_found"
    assert mine.call("POST", "/v1/adapters/style", 400, data=LLAMA)["error"]["param"] == "model"
    assert "no adapter's name" in mine.push(".hidden", status=400)["error"]["message"]
    assert "no adapter's name" in mine.push("a" * 64, status=400)["error"]["message"]
    for model in ("llama_tied@none", "llama_tied@", "none@style", "@style", "llama_tied@style@style"):
        assert mine.complete(model, 404)["error"]["param"] == "model"


def test_a_tenant_may_have_sixteen(mine):
    for i in range(16):
        mine.push(f"a{i}")
    refused = mine.push("a16", status=422)["error"]
    assert refused["code"] == "adapter_limit_exceeded" and "16 adapters" in refused["message"]
    mine.push("a3")  # in place of the older one
    assert len(mine.list()) == 16


def test_a_body_may_be_larger_than_others_and_not_too_large(mine):
    answer = requests.post(mine.server.url + "/v1/adapters/style?model=llama_tied", timeout=60,
                           headers={"Authorization": "Bearer " + KEY}, data=b"x" * (33 << 20))
    assert answer.status_code == 400 and "GGUF" in answer.text
    connection = http.client.HTTPConnection("127.0.0.1", mine.server.port, timeout=60)
    connection.putrequest("POST", "/v1/adapters/style?model=llama_tied")
    connection.putheader("Authorization", "Bearer " + KEY)
    connection.putheader("Content-Length", str((256 << 20) + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and b"at most 268435456" in answer.read()
    connection.close()


def test_adapters_survive_a_restart(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    running = RealmServer(folder, models=MODELS)
    adapters = Adapters(running)
    pushed = adapters.push("style")
    adapters.push("gone")
    adapters.push("gone", PHI3, "phi3")
    adapters.push("kept", PHI3, "phi3")
    adapters.remove("gone")
    adapters.call("POST", "/v1/programs/adapter", 201, data=guest("adapter"))
    told = adapters.call("POST", "/v1/programs/adapter/run", json={"say": PROMPT})["output"]
    styled = adapters.text("llama_tied@style")
    assert running.stop() == 0
    files = sorted(path.suffix for path in (folder / "data" / "adapters").rglob("*") if path.is_file())
    assert files == ["", ".adapter", ".adapter"]
    (folder / "port").unlink()

    running = RealmServer(folder, models=MODELS[:1])  # without phi3
    adapters = Adapters(running)
    # A program finds what nobody has asked for before.
    assert adapters.call("POST", "/v1/programs/adapter/run", json={"say": PROMPT})["output"] == told
    assert adapters.text("llama_tied@style") == styled
    assert adapters.list()[1] == pushed and adapters.list()[0]["loaded"] is False
    assert adapters.models() == ["llama_tied", "llama_tied@style"]
    assert any(line.get("event") == "adapter_not_loaded" for line in running.log())
    assert running.stop() == 0
    (folder / "port").unlink()

    next((folder / "data" / "adapters").rglob(pushed["sha256"] + ".adapter")).write_bytes(b"spoilt")
    running = RealmServer(folder, models=MODELS)
    adapters = Adapters(running)
    assert [item["loaded"] for item in adapters.list()] == [True, False]
    assert adapters.complete("llama_tied@style", 404)["error"]["code"] == "adapter_not_found"
    adapters.push("style")
    assert adapters.text("llama_tied@style") == styled
    assert running.stop() == 0


def test_a_folder_of_peft_is_pushed_as_it_is(mine, tmp_path):
    """It holds the numbers of the GGUF file, q and k in the order that PEFT has them in."""
    environment = {**os.environ, "REALM_URL": mine.server.url, "REALM_KEY": KEY}

    def push(name, folder, code=0):
        done = subprocess.run([REALM, "adapter", "push", name, str(folder), "-m", "llama_tied"], env=environment,
                              capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
        return done.stderr

    mine.push("style")
    push("peft", PEFT)
    assert mine.text("llama_tied@peft") == mine.text("llama_tied@style") != mine.text("llama_tied")
    folder = tmp_path / "other"
    shutil.copytree(PEFT, folder)
    config = json.loads((PEFT / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    assert "use_dora is set" in push("dora", folder, code=1)
    (folder / "adapter_config.json").unlink()
    assert "adapter_config.json" in push("none", folder, code=1)
    refused = mine.push("bare", (PEFT / "adapter_model.safetensors").read_bytes(), status=400)["error"]
    assert "realm adapter push NAME FOLDER" in refused["message"]


def test_commands_push_list_and_remove(mine, tmp_path):
    environment = {**os.environ, "REALM_URL": mine.server.url, "REALM_KEY": KEY}
    path = tmp_path / "style.gguf"
    path.write_bytes(LLAMA)

    def realm(*arguments, code=0):
        done = subprocess.run([REALM, "adapter", *arguments], capture_output=True, text=True, env=environment,
                              timeout=60)
        assert done.returncode == code or (code is None and done.returncode != 0), done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    assert realm("push", "style", str(path), "--model", "llama_tied").startswith(
        f"llama_tied@style: {len(LLAMA)} bytes, SHA-256 ")
    assert realm("list").splitlines()[1].split() == ["style", "llama_tied", str(len(LLAMA)), "yes"]
    assert json.loads(realm("list", "--json")) == {"object": "list", "data": mine.list()}
    assert realm("rm", "style") == "style: removed\n"
    assert "no adapter style" in realm("rm", "style", code=None)
    assert "--model" in realm("push", "style", str(path), code=None)
    assert "another base model" in realm("push", "style", str(path), "--model", "phi3", code=None)
