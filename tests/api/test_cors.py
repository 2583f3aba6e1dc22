"""CORS: which browsers' pages may use the server, and how they are told; and the ids of requests."""

import os
import subprocess

import pytest
import requests
from realm_server import KEY, wait_until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

MODEL = ("tiny=" + os.environ["REALM_TEST_DATA"] + "/golden/models/llama_tied.gguf",)
APP, LOCAL, FOREIGN = "https://app.example.com", "http://localhost:3000", "https://evil.example.com"
HEADERS = {"Authorization": "Bearer " + KEY}
BODY = {"model": "tiny", "prompt": "once", "max_tokens": 2}


def ask(server, method, path, origin=None, key=KEY, **more):
    headers = {**({"Authorization": "Bearer " + key} if key else {}), **({"Origin": origin} if origin else {}),
               **more.pop("headers", {})}
    return requests.request(method, server.url + path, headers=headers, timeout=60, **more)


def preflight(server, path, origin=APP, method="POST"):
    return ask(server, "OPTIONS", path, origin, key=None,
               headers={"Access-Control-Request-Method": method,
                        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang"})


def cors_headers(answer):
    return {name for name in answer.headers if name.lower().startswith("access-control-") or name.lower() == "vary"}


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    from realm_server import RealmServer
    running = RealmServer(tmp_path_factory.mktemp("cors"), "--cors-origin", f"{APP}, {LOCAL}",
                          "--cors-origin", "http://[::1]:8000", models=MODEL)
    yield running
    assert running.stop() == 0


def test_off_by_default(own_server):
    server = own_server(models=MODEL)
    assert preflight(server, "/v1/completions").status_code == 405
    answer = ask(server, "GET", "/v1/models", APP)
    assert answer.status_code == 200 and cors_headers(answer) == set()
    with connect(f"ws://127.0.0.1:{server.port}/v1/ws", additional_headers=HEADERS, origin=FOREIGN) as ws:
        assert "ready" in ws.recv(30)


@pytest.mark.parametrize("origin", [APP, LOCAL, "http://[::1]:8000"])
def test_preflight_needs_no_key(listed, origin):
    answer = preflight(listed, "/v1/completions", origin)
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "authorization, *"
    assert int(answer.headers["access-control-max-age"]) > 0
    assert answer.headers["vary"] == "origin"
    assert preflight(listed, "/v1/responses/resp_1", origin, "DELETE").headers[
        "access-control-allow-methods"] == "GET, DELETE"


def test_preflights_of_others_are_refused(listed):
    for answer in (preflight(listed, "/v1/completions", FOREIGN), preflight(listed, "/v1/completions", "null"),
                   preflight(listed, "/v1/completions", APP + "." + "x" * 500),
                   ask(listed, "OPTIONS", "/v1/completions", APP, key=None)):
        assert answer.status_code == 405
        assert "access-control-allow-methods" not in answer.headers
    assert preflight(listed, "/v1/nothing").status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_answers_say_who_may_read_them(listed, stream):
    answer = ask(listed, "POST", "/v1/completions", APP, json={**BODY, "stream": stream})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP and answer.headers["vary"] == "origin"
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(exposed)
    assert answer.headers["content-type"] == ("text/event-stream" if stream else "application/json")


def test_errors_can_be_read_too(listed):
    answer = ask(listed, "GET", "/v1/models", APP, key="wrong")
    assert answer.status_code == 401 and answer.headers["access-control-allow-origin"] == APP
    assert ask(listed, "GET", "/nothing", LOCAL).headers["access-control-allow-origin"] == LOCAL


def test_other_origins_are_told_nothing(listed):
    for origin in (FOREIGN, None):
        answer = ask(listed, "GET", "/v1/models", origin)
        assert answer.status_code == 200 and cors_headers(answer) == {"vary"}


def test_every_origin(own_server):
    server = own_server("--cors-origin", "*", models=MODEL)
    assert preflight(server, "/v1/completions", FOREIGN).headers["access-control-allow-origin"] == "*"
    answer = ask(server, "GET", "/v1/models", "null")
    assert answer.headers["access-control-allow-origin"] == "*" and "vary" not in answer.headers


def test_websockets_of_foreign_pages_are_refused(listed):
    url = f"ws://127.0.0.1:{listed.port}/v1/ws"
    for origin in (APP, None):
        with connect(url, additional_headers=HEADERS, origin=origin) as ws:
            assert "ready" in ws.recv(30)
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers=HEADERS, origin=FOREIGN)
    assert refused.value.response.status_code == 403
    assert b"origin_not_allowed" in refused.value.response.body


@pytest.mark.parametrize("origin", ["", "app.example.com", APP + "/", APP + "/path", "https://", "HTTPS://A.com",
                                    f"{APP},,{LOCAL}", "null", "https://a b", "https://" + "a" * 300])
def test_what_is_no_origin_is_refused(tmp_path, origin):
    run = subprocess.run([os.environ["REALM"], "serve", "--port", "0", "--allow-root", "--data", tmp_path, "--model",
                          MODEL[0], "--cors-origin", origin], capture_output=True, timeout=60, text=True)
    assert run.returncode != 0 and "--cors-origin" in run.stderr


def log_line(server, answer):
    ours = answer.headers["x-realm-request-id"]
    return wait_until(lambda: [line for line in server.log() if line.get("id") == ours])[0]


def test_client_may_name_its_request(listed):
    for name in ("mine-1", "~", "a" * 128):
        answer = ask(listed, "POST", "/v1/completions", json=BODY, headers={"x-request-id": name})
        assert answer.headers["x-request-id"] == name
        assert answer.headers["x-realm-request-id"] != name and len(answer.headers["x-realm-request-id"]) == 24
        assert log_line(listed, answer)["client_request_id"] == name


@pytest.mark.parametrize("name", ["", "a" * 129, "a b", "a\tb", "\u00e9".encode(), "a" * 3000])
def test_what_is_no_name_is_ignored(listed, name):
    answer = ask(listed, "GET", "/v1/models", headers={"x-request-id": name})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == answer.headers["x-realm-request-id"]
    assert log_line(listed, answer)["client_request_id"] == ""


def test_ledger_counts_requests_of_one_name_apart(own_server):
    server = own_server(models=MODEL)
    for _ in range(3):
        assert ask(server, "POST", "/v1/completions", json=BODY, headers={"x-request-id": "same"}).status_code == 200
    wait_until(lambda: sum(row["requests"] for row in ask(server, "GET", "/admin/v1/usage").json()["data"]) == 3)
