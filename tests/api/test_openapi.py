"""The API's own document is true: Schemathesis finds no server error and no answer it does not tell of."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (content_type_conformance, response_schema_conformance,
                                               status_code_conformance)

from realm_server import KEY, RealmServer

TEST_DATA = Path(os.environ["REALM_TEST_DATA"])
SERVER = TEST_DATA.parent / "src" / "server"
TINY = TEST_DATA / "golden" / "models" / "llama_tied.gguf"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
HEADERS = {"Authorization": "Bearer " + KEY}
# Answers that are no defects of the server: what was asked for takes too long, or more than there is.
EXPECTED = {503, 504}
# Areas that have no fragment in src/server/openapi/ yet.
# OpenAPI has no words for a WebSocket; docs/formats/websocket.schema.json tells of its messages.
UNTOLD = ("/v1/programs", "/admin/", "/v1/ws")
EXAMPLES = int(os.environ.get("REALM_OPENAPI_EXAMPLES", "25"))


@pytest.fixture(scope="module")
def tiny_server(tmp_path_factory):
    running = RealmServer(tmp_path_factory.mktemp("tiny"), models=(f"tiny={TINY}",))
    yield running
    assert running.stop() == 0, running.log_path.read_text(errors="replace")[-4000:]


def document(server):
    answer = requests.get(server.url + "/openapi.json", headers=HEADERS, timeout=10)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    return answer.json()


SEEN = Counter()  # (method, path, status)


def told_operations():
    """(method, path) of every operation in the fragments."""
    fragments = [json.loads(file.read_text()) for file in sorted((SERVER / "openapi").glob("*.json"))]
    return [(method, path) for fragment in fragments for path, item in fragment["paths"].items() for method in item]


@pytest.fixture(scope="module")
def api(tiny_server):
    schema = schemathesis.openapi.from_dict(document(tiny_server))
    schema.config.base_url = tiny_server.url
    return schema


def settle(case):
    """Mostly the model that is there, and answers that end soon: the test is of shapes, not of speed."""
    body = case.body
    if isinstance(body, dict):
        if isinstance(body.get("model"), str) and len(body["model"]) % 8 != 7:
            body["model"] = "tiny"
        if isinstance(body.get("n"), int) and body["n"] > 3:
            body["n"] = 3
        if "messages" in body or "prompt" in body:
            body["max_tokens"] = 4
            body.pop("max_completion_tokens", None)
        if case.path == "/v1/responses":
            body["max_output_tokens"] = 4


def check(case):
    settle(case)
    response = case.call(headers=HEADERS, timeout=60)
    SEEN[(case.method.lower(), case.path, response.status_code)] += 1
    checks = [check for check in CHECKS
              if check is not not_a_server_error or response.status_code not in EXPECTED]
    case.validate_response(response, checks=checks)


@pytest.mark.parametrize("method, path", told_operations())
def test_every_answer_is_told_of(api, method, path):
    test = given(case=api[path][method].as_strategy())(check)
    settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
             suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])(test)()


# Nothing is kept when these run, so what exists is not found; and no random bytes are an adapter.
NEVER_FOUND = {("get", "/v1/responses/{id}"), ("delete", "/v1/responses/{id}"), ("get", "/v1/models/{name}"),
               ("post", "/v1/responses/{id}/cancel"), ("get", "/v1/responses/{id}/input_items"),
               *((method, "/v1/adapters/{name}") for method in ("get", "post", "put", "delete"))}


def test_every_operation_had_successes_among_its_answers():
    """Behind the others: otherwise they would have seen refusals only."""
    without = {operation for operation in told_operations() if SEEN[(*operation, 200)] == 0}
    assert without <= NEVER_FOUND, SEEN


def routes_of_the_table():
    """{(method, path)} of route.c, whose paths are literals and macros of literals, joined."""
    source = (SERVER / "route.c").read_text()
    macros = dict(re.findall(r'^#define (\w+) +((?:\w+ +)?"[^"]+")', source, re.M))

    def text_of(expression):
        parts = re.findall(r'"([^"]*)"|(\w+)', expression)
        return "".join(literal if literal or not name else text_of(macros[name]) for literal, name in parts)

    table = source[source.index("routes[] = {"):]
    rows = re.findall(r'\{ROUTE_([A-Z]+),\s*((?:\w+\s+)?(?:"[^"]*"|\w+)),', table[:table.index("};")])
    return {(method.lower(), re.sub(r":(\w+)", r"{\1}", text_of(path)).replace("*", "{name}")) for method, path in rows}


def test_every_route_is_told_of_and_no_other():
    routes, told = routes_of_the_table(), set(told_operations())
    assert len(routes) > 15
    assert told - routes == set()
    assert {route for route in routes - told if not route[1].startswith(UNTOLD)} == set()
