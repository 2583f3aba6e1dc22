"""The admin API: the acts of the commands over HTTP, for keys with the scope admin alone."""

import http.client
import json

import pytest

from realm_server import KEY
from test_limits import TINY, ask, refused
from test_tenants import Commands
from test_usage import usage_when


class Admin:
    """Requests with a key; gives (status, answer)."""

    def __init__(self, server, key=KEY):
        self.server, self.key = server, key

    def __call__(self, method, path, body=None, raw=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        data = raw if raw is not None else None if body is None else json.dumps(body)
        connection.request(method, "/admin/v1" + path, data,
                           {"authorization": f"Bearer {self.key}", "content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def done(self, method, path, body=None, status=200):
        got, answer = self(method, path, body)
        assert got == status, answer
        return answer


@pytest.fixture
def served(own_server):
    server = own_server(models=(TINY,))
    return server, Admin(server), Commands(server.folder / "data")


def test_a_tenants_life(served):
    server, admin, realm = served
    assert admin.done("GET", "/tenants/default")["weight"] == 1  # what nobody has set
    made = admin.done("POST", "/tenants", {"name": "acme", "weight": 3, "models": ["tiny"], "priority": "low"}, 201)
    assert made["object"] == "tenant" and made["weight"] == 3 and made["models"] == ["tiny"]
    assert admin.done("GET", "/tenants/acme") == made
    assert realm.json("tenant", "show", "acme")["priority"] == "low"
    key = admin.done("POST", "/keys", {"tenant": "acme", "name": "ci", "requests_per_minute": 2}, 201)
    assert key["tenant"] == "acme" and key["scopes"] == "inference" and key["key"].startswith("rlm_")
    ask(server, key["key"])
    admin.done("PATCH", "/tenants/acme", {"models": ["large"]})
    assert "only large" in refused(server, key["key"], Exception).message
    admin.done("PATCH", "/tenants/acme", {"models": [], "disabled": True})
    assert "disabled" in refused(server, key["key"], Exception).message
    admin.done("PATCH", "/tenants/acme", {"disabled": False})
    ask(server, key["key"])
    assert admin.done("DELETE", "/tenants/acme") == {"object": "tenant", "deleted": True, "name": "acme"}
    assert admin("GET", "/tenants/acme")[0] == 404
    assert "not known" in refused(server, key["key"], Exception).message


def test_a_keys_life(served):
    server, admin, _ = served
    key = admin.done("POST", "/keys", {"tenant": "default", "scopes": "inference,metrics"}, 201)
    shown = admin.done("GET", "/keys/" + key["id"])
    assert "key" not in shown and shown["scopes"] == "inference,metrics"
    assert admin.done("PATCH", "/keys/" + key["id"], {"name": "new", "disabled": True})["disabled"]
    assert "disabled" in refused(server, key["key"], Exception).message
    admin.done("PATCH", "/keys/" + key["id"], {"disabled": False})
    fresh = admin.done("POST", f"/keys/{key['id']}/rotate", {"grace_seconds": 0}, 201)
    assert fresh["id"] != key["id"] and fresh["name"] == "new" and fresh["tenant"] == "default"
    ask(server, fresh["key"])
    assert "expired" in refused(server, key["key"], Exception).message
    assert admin.done("POST", f"/keys/{fresh['id']}/rotate", status=201)["expires"] == 0
    assert admin.done("DELETE", "/keys/" + fresh["id"])["deleted"]
    assert admin("DELETE", "/keys/" + fresh["id"])[0] == 404
    assert "not known" in refused(server, fresh["key"], Exception).message


def test_usage_and_prices(served):
    server, admin, realm = served
    price = admin.done("PUT", "/prices/tiny", {"input_micro": 2000000, "output_micro": 4000000})
    assert price["cached_micro"] == 2000000 and price["currency"] == "USD"
    assert admin.done("GET", "/prices")["data"] == [price]
    key = admin.done("POST", "/keys", {"tenant": "default"}, 201)["key"]
    ask(server, key, n=7)
    usage_when(realm, 1)
    row, = admin.done("GET", "/usage?tenant=default&by=model")["data"]
    assert (row["model"], row["requests"], row["prompt_tokens"], row["completion_tokens"]) == ("tiny", 1, 3, 7)
    assert row["cost_micro"] == 3 * 2 + 7 * 4
    assert admin.done("GET", "/usage?tenant=nobody")["data"] == []
    assert admin.done("GET", "/usage?until=1000")["data"] == []
    assert admin.done("DELETE", "/prices/tiny")["deleted"]
    assert admin("DELETE", "/prices/tiny")[0] == 404


def test_what_was_done_is_in_the_audit_log(served):
    _, admin, realm = served
    key = admin.done("POST", "/keys", {"tenant": "default", "scopes": "admin"}, 201)
    Admin(admin.server, key["key"]).done("POST", "/tenants", {"name": "acme"}, 201)
    realm("tenant", "set", "acme", "--weight", "9")
    entries = admin.done("GET", "/audit?limit=2")
    assert entries["has_more"] and [e["act"] for e in entries["data"]] == ["tenant.set", "tenant.create"]
    changed, created = entries["data"]
    assert changed["actor"].startswith("cli:") and created["actor"] == "key:" + key["id"]
    assert created["before"] is None and created["after"]["name"] == "acme"
    assert (changed["before"]["weight"], changed["after"]["weight"]) == (0, 9)
    older = admin.done("GET", f"/audit?after={created['id']}")["data"]
    assert older[0]["act"] == "key.create" and older[0]["subject"] == "key " + key["id"]
    assert key["key"] not in json.dumps(older)
    # A change that failed is none.
    assert admin("POST", "/tenants", {"name": "acme"})[0] == 409
    assert admin.done("GET", "/audit?limit=1")["data"] == [changed]


def test_lists_come_in_pages(served):
    _, admin, _ = served
    names = [f"t{i}" for i in range(5)]
    for name in names:
        admin.done("POST", "/tenants", {"name": name}, 201)
        admin.done("POST", "/keys", {"tenant": name}, 201)
    seen, after = [], ""
    while True:
        page = admin.done("GET", f"/tenants?limit=2{after}")
        seen += [row["name"] for row in page["data"]]
        if not page["has_more"]:
            break
        after = "&after=" + seen[-1]
    assert seen == ["default", *names]
    assert [row["tenant"] for row in admin.done("GET", "/keys?tenant=t3")["data"]] == ["t3"]


ROUTES = [("GET", "/tenants"), ("POST", "/tenants"), ("GET", "/tenants/default"), ("PATCH", "/tenants/default"),
          ("DELETE", "/tenants/default"), ("GET", "/keys"), ("POST", "/keys"), ("GET", "/keys/x"),
          ("PATCH", "/keys/x"), ("DELETE", "/keys/x"), ("POST", "/keys/x/rotate"), ("GET", "/usage"),
          ("GET", "/prices"), ("PUT", "/prices/tiny"), ("DELETE", "/prices/tiny"), ("GET", "/audit")]


def test_only_keys_for_admin_open_it(served):
    server, admin, _ = served
    key = admin.done("POST", "/keys", {"tenant": "default", "scopes": "inference,programs,metrics"}, 201)["key"]
    for method, path in ROUTES:
        assert Admin(server, key)(method, path, {})[0] == 403, path
        assert Admin(server, "rlm_wrong")(method, path, {})[0] == 401, path
    assert admin.done("GET", "/tenants/default")["name"] == "default"


@pytest.mark.parametrize("method, path, body, status, words", [
    ("POST", "/tenants", {}, 400, "name is missing"),
    ("POST", "/tenants", {"name": "no spaces"}, 400, "is no name"),
    ("POST", "/tenants", {"name": "x" * 200}, 400, "200 bytes"),
    ("POST", "/tenants", {"name": "default"}, 409, "already"),
    ("POST", "/tenants", {"name": "a", "wieght": 1}, 400, "wieght is not known"),
    ("POST", "/tenants", {"name": "a", "weight": 1001}, 400, "between 0 and 1000"),
    ("POST", "/tenants", {"name": "a", "weight": -1}, 400, "weight"),
    ("POST", "/tenants", {"name": "a", "weight": 1.5}, 400, "weight"),
    ("POST", "/tenants", {"name": "a", "tokens_per_day": "9"}, 400, "tokens_per_day"),
    ("POST", "/tenants", {"name": "a", "priority": "urgent"}, 400, "low, normal or high"),
    ("POST", "/tenants", {"name": "a", "models": "tiny"}, 400, "array"),
    ("POST", "/tenants", {"name": "a", "models": ["a,b"]}, 400, "no model's name"),
    ("POST", "/tenants", {"name": "a", "models": ["m" * 300, "n" * 300]}, 400, "bytes"),
    ("PATCH", "/tenants/nobody", {}, 404, "nobody"),
    ("PATCH", "/tenants/default", {"name": "other"}, 400, "name is not known"),
    ("PATCH", "/tenants/default", {"disabled": 1}, 400, "disabled"),
    ("POST", "/keys", {}, 400, "tenant is missing"),
    ("POST", "/keys", {"tenant": "nobody"}, 404, "nobody"),
    ("POST", "/keys", {"tenant": "default", "scopes": "all,root"}, 400, "scopes"),
    ("POST", "/keys", {"tenant": "default", "program_fuel": 2}, 400, "program_fuel is not known"),
    ("POST", "/keys", {"tenant": "default", "priority": "high"}, 400, "must be low or normal"),
    ("POST", "/keys", {"tenant": "default", "expires": -5}, 400, "expires"),
    ("POST", "/keys/x/rotate", {"grace": 1}, 400, "grace is not known"),
    ("POST", "/keys/x/rotate", {}, 404, "x"),
    ("PUT", "/prices/tiny", {"input_micro": 1}, 400, "output_micro"),
    ("PUT", "/prices/tiny", {"input_micro": 1, "output_micro": 10 ** 11}, 400, "at most"),
    ("GET", "/usage?by=hour", None, 400, "tenant, model, key or day"),
    ("GET", "/usage?since=yesterday", None, 400, "seconds since 1970"),
    ("GET", "/tenants?limit=0", None, 400, "between 1 and 1000"),
    ("GET", "/audit?after=x", None, 400, "id of an entry"),
])
def test_what_is_wrong_is_named(served, method, path, body, status, words):
    _, admin, _ = served
    got, answer = admin(method, path, body)
    assert got == status and words in answer["error"]["message"], answer


def test_bodies_of_every_method_are_read(served):
    _, admin, _ = served
    for method, path in [("POST", "/tenants"), ("PATCH", "/tenants/default"), ("PUT", "/prices/tiny")]:
        for raw in ("", "[]", "{", "nonsense", '{"a": 1, "a": 2}'):
            status, answer = admin(method, path, raw=raw)
            assert status == 400 and answer["error"]["message"], (method, raw, answer)
    assert admin("DELETE", "/prices/none", raw='{"ignored": 1}')[0] == 404
