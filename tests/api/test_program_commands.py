"""realm program push, list, show, run, logs, activate, default and rm against a server."""

import json
import os
import subprocess

import pytest

from programs import echo, guest, speaker
from realm_server import KEY

REALM = os.environ["REALM"]


@pytest.fixture
def realm(server, tmp_path):
    """`realm program ...` with the server's URL and key in the environment."""
    environment = {**os.environ, "REALM_URL": server.url + "/", "REALM_KEY": KEY}

    def call(*arguments, code=0, env=environment, stdin=None):
        done = subprocess.run([REALM, "program", *arguments], capture_output=True, text=True, env=env,
                              cwd=tmp_path, input=stdin, timeout=60)
        assert done.returncode == code or (code is None and done.returncode != 0), done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def push(name, module, *arguments):
        (tmp_path / "module.wasm").write_bytes(module)
        return call("push", name, "module.wasm", *arguments)

    call.push = push
    yield call
    for row in json.loads(call("list", "--json"))["data"]:
        call("rm", row["name"])


def test_a_programs_life_by_commands(realm):
    assert realm.push("talk", speaker(text="one", log="a line", event='{"e":1}', result="[2]")).startswith(
        "talk: version 1, ")
    assert json.loads(realm.push("talk", speaker(text="two"), "--no-activate", "--json"))["version"] == 2
    name, active, versions, *_ = realm("list").splitlines()[1].split()
    assert (name, active, versions) == ("talk", "1", "2")
    assert realm("run", "talk") == "one[2]\n"
    assert realm("activate", "talk", "2") == "talk: version 2 is active\n"
    assert realm("run", "talk") == "two"
    assert realm("rm", "talk", "--version", "1") == "talk: version 1 removed\n"
    assert [v["version"] for v in json.loads(realm("show", "talk"))["versions"]] == [2]
    first, line, second = realm("logs", "talk").splitlines()
    assert "version 1  realm_run  ok" in first and line.split() == ["info", "a", "line"] and "version 2" in second
    assert len(json.loads(realm("logs", "talk", "-n", "1", "--json"))["data"]) == 1
    assert realm("rm", "talk") == "talk: removed\n"
    assert "no program talk" in realm("show", "talk", code=None)


def test_run_sends_body_model_and_seed(realm):
    realm.push("echo", echo())
    answer = json.loads(realm("run", "echo", "-r", "-", "-m", "smollm2", "--seed", "5", stdin='{"a": "ä"}'))
    assert answer == {"a": "ä", "stream": True, "model": "smollm2", "seed": 5}
    assert "JSON object" in realm("run", "echo", "-r", "[1]", code=None)
    assert "--threads" in realm("run", "echo", "-t", "2", code=None)
    assert "no function" in realm("run", "echo", "-f", "none", code=None)


def test_a_limit_is_the_commands_error(realm):
    realm.push("spin", speaker(text="begun", spin=True))
    assert "limit cpu_ms" in realm("run", "spin", code=None)
    realm.push("bad", guest("start_trap"))
    assert realm("run", "bad", code=None)


def test_the_default_program_is_shown_set_and_taken_back(realm):
    assert realm("default") == "no default program\n"
    realm.push("guard", speaker(text="x"))
    assert realm("default", "guard") == "guard\n" == realm("default")
    assert realm("list").splitlines()[1].split()[-1] == "yes"
    assert realm("default", "--none") == "no default program\n"
    assert "no program none" in realm("default", "none", code=None)


def test_a_bad_module_says_why(realm, tmp_path):
    (tmp_path / "bad.wasm").write_bytes(b"x")
    assert "WebAssembly" in realm("push", "bad", "bad.wasm", code=None)
    assert "none.wasm" in realm("push", "bad", "none.wasm", code=None)
    assert "none.wasm" in realm("run", "none.wasm", code=None)


def test_without_server_or_key_the_remedy_is_told(realm, server, tmp_path):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("REALM_U")}
    empty = {**bare, "REALM_DATA_DIR": str(tmp_path / "nowhere")}
    assert "--key or REALM_KEY" in realm("list", code=None, env=empty)
    assert "--url" in realm("list", "--key", "x", "--url", "http://127.0.0.1:1", code=None, env=empty)
    assert "not known" in realm("list", "--key", "x", "--url", server.url, code=None, env=empty)
    assert json.loads(realm("list", "--json", "--url", server.url, "--data", str(server.folder / "data"),
                            env=empty))["data"] == [], "by the first key"


@pytest.mark.parametrize("command", ["push", "list", "show", "run", "logs", "activate", "default", "rm"])
def test_every_command_has_help_with_an_example(realm, command):
    page = realm(command, "--help")
    assert f"  realm program {command}" in page and "--url URL" in page
