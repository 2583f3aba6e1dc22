"""Bodies that are wrong: each is refused with words, and the next request is answered."""

import http.client
import json

import pytest
from realm_server import KEY
from test_fields import CHAT_ACTS, CHAT_REFUSED, EXTENSION_ACTS, SYSTEM, TEXT_ACTS, TEXT_REFUSED, chat, post, text

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
MESSAGE = {"role": "user", "content": "Hello"}
GOOD = {"model": "smollm2", "messages": [MESSAGE], "max_tokens": 1}


@pytest.fixture(autouse=True)
def alive(server):
    yield
    assert post(server, CHAT, GOOD).status_code == 200


def error_of(response, status=400):
    assert response.status_code == status, (response.status_code, response.text[:500])
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


def raw(server, body):
    return error_of(post(server, CHAT, body))


@pytest.mark.parametrize("body", [
    b"", b" ", b"{", b"[]", b"1", b'"x"', b"null", b"true", b"{}{}", b'{"a":1,}', b"{'a':1}", b'{"a"}',
    b"\x00", b"{\x00}", b"\xff\xfe", b'{"model":"smollm2"', b"// x", b'{"a":1} trailing', b'{"a":"\n"}',
    b'{"a":01}', b'{"a":+1}', b'{"a":.5}', b'{"a":"\\x"}', b'{"a":"\\ud800"}', b'{"a":"\\u0000"}',
    b'\xef\xbb\xbf{"model":"smollm2"}',
])
def test_what_is_no_json_object_is_refused(server, body):
    assert raw(server, body)["type"] == "invalid_request_error"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"1e999", b"-1e999", b"1" * 400,
                                    b"99999999999999999999", b"-99999999999999999999", b"0x10"])
@pytest.mark.parametrize("field", [b"temperature", b"max_tokens", b"seed", b"top_k"])
def test_numbers_that_are_none_are_refused(server, field, number):
    body = json.dumps(GOOD).encode()[:-1].replace(b'"max_tokens": 1', b'"x_": null').replace(b', "x_": null', b"")
    raw(server, body + b', "' + field + b'": ' + number + b"}")


@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(server, opening, closing, depth):
    deep = opening * depth + "1" + closing * depth
    assert "64 levels" in raw(server, ('{"model":"smollm2","messages":%s}' % deep).encode())["message"]
    assert "64 levels" in raw(server, ("[" * depth).encode())["message"]


def test_brackets_within_strings_do_not_nest(server):
    brackets = "[{" * 500 + '"\\'
    assert chat(server, messages=[{"role": "user", "content": brackets}], max_tokens=1).status_code == 200


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80", b"\xe2\x82"])
def test_invalid_utf8_is_refused(server, bad):
    body = json.dumps({**GOOD, "messages": [{"role": "user", "content": "@@"}]}).encode().replace(b"@@", bad)
    assert raw(server, body)["message"]
    # Neither does it come back in a message that quotes a name.
    assert raw(server, b'{"' + bad + b'": 1}')["message"]


def test_a_duplicate_key_is_refused(server):
    body = json.dumps(GOOD).encode()[:-1] + b', "temperature": 0, "temperature": 1}'
    assert "temperature" in raw(server, body)["message"]
    body = b'{"model": "smollm2", "messages": [{"role": "user", "role": "user", "content": "x"}]}'
    assert "role" in raw(server, body)["message"]


# A value of each kind of JSON; a field refuses those that are not of its kind.
KINDS = {
    "string": "x", "number": 0.5, "negative": -1, "huge": 2**62, "bool": True, "array": [[]], "object": {"a": 1},
}
ACCEPTED = {
    "model": {"string"},
    "messages": set(), "prompt": {"string"},
    "user": {"string"}, "safety_identifier": {"string"},
    "stop": {"string"}, "suffix": set(),
    "stream": {"bool"}, "echo": {"bool"}, "ignore_eos": {"bool"}, "skip_special_tokens": {"bool"},
    "add_generation_prompt": {"bool"}, "publish_prefix": {"bool"},
    "temperature": {"number"}, "top_p": {"number"}, "min_p": {"number"}, "typical_p": {"number"},
    "repetition_penalty": {"number"},
    "presence_penalty": {"number", "negative"}, "frequency_penalty": {"number", "negative"},
    "dry_multiplier": {"number"}, "dry_base": set(), "mirostat_tau": {"number"}, "mirostat_eta": {"number"},
    "guided_regex": {"string"},
    "seed": {"negative", "huge"}, "logit_bias": set(), "chat_template_kwargs": {"object"},
}
WHOLE_NUMBERS = {"n", "max_tokens", "max_completion_tokens", "min_tokens", "top_k", "repeat_last_n", "best_of",
                 "top_logprobs", "mirostat", "dry_allowed_length", "dry_penalty_last_n"}


@pytest.mark.parametrize("send, field", [(chat, f) for f in sorted({*CHAT_ACTS, *CHAT_REFUSED, *EXTENSION_ACTS})] +
                         [(text, f) for f in sorted({*TEXT_ACTS, *TEXT_REFUSED})] +
                         [(chat, f) for f in ("model", "user", "safety_identifier")])
def test_a_value_of_a_wrong_kind_is_refused_by_name(server, send, field):
    accepted = ACCEPTED.get(field, set())
    if field == "logprobs" and send is chat:
        accepted = {"bool"}
    if field == "top_p":
        accepted = {"number"}
    for kind, value in KINDS.items():
        if kind in accepted:
            continue
        if field == "model" and kind == "string":
            continue
        # The one thing that is needed beside it, so that nothing else is at fault.
        error = error_of(send(server, **{"max_tokens": 1, **({"logprobs": True} if field == "top_logprobs" else {}),
                                         field: value}))
        assert error["param"] == field or error["param"].startswith(field), (kind, error)
        assert field in error["message"], (kind, error)


@pytest.mark.parametrize("field", sorted(WHOLE_NUMBERS - {"best_of"}))
@pytest.mark.parametrize("value", [-1, -2**31, -2**63, 2**32, 2**63 - 1, 1.0, 1e300])
def test_a_count_out_of_range_is_refused(server, field, value):
    more = {"logprobs": True} if field == "top_logprobs" else {}
    if field == "max_completion_tokens":
        more["max_tokens"] = None
    assert error_of(chat(server, **{"max_tokens": 1, **more, field: value}))["param"] == field


@pytest.mark.parametrize("fields, param", [
    ({"n": 0}, "n"), ({"n": 129}, "n"), ({"max_tokens": 0}, "max_tokens"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"stop": ""}, "stop"), ({"stop": ["a"] * 17}, "stop"), ({"stop": ["a", 1]}, "stop"),
    ({"stop": "x" * 257}, "stop"), ({"stop_token_ids": [-1]}, "stop_token_ids"),
    ({"stop_token_ids": list(range(65))}, "stop_token_ids"), ({"stop_token_ids": ["1"]}, "stop_token_ids"),
    ({"logit_bias": {"x": 1}}, "logit_bias"), ({"logit_bias": {"-1": 1}}, "logit_bias"),
    ({"logit_bias": {"": 1}}, "logit_bias"), ({"logit_bias": {"1": 101}}, "logit_bias"),
    ({"logit_bias": {"1": "x"}}, "logit_bias"), ({"logit_bias": {"99999999999999999999": 1}}, "logit_bias"),
    ({"logit_bias": {str(i): 1 for i in range(1025)}}, "logit_bias"),
    ({"user": "x" * 257}, "user"), ({"model": ""}, "model"), ({"model": None}, "model"),
    ({"stream": True, "stream_options": {"other": 1}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
    ({"response_format": {"type": 1}}, "response_format"), ({"response_format": {}}, "response_format"),
])
def test_values_out_of_range_are_refused_by_name(server, fields, param):
    assert error_of(chat(server, **fields))["param"] == param


@pytest.mark.parametrize("fields", [
    {"stop": []}, {"stop_token_ids": []}, {"logit_bias": {}}, {"chat_template_kwargs": {}}, {"user": ""},
    {"stream_options": {}}, {"dry_sequence_breakers": []},
])
def test_what_is_empty_counts_as_nothing(server, fields):
    assert chat(server, **fields, max_tokens=1).status_code == 200


@pytest.mark.parametrize("messages", [
    [], None, "Hello", [None], [1], ["Hello"], [[]], [{}], [{"role": "user"}], [{"content": "x"}],
    [{"role": "user", "content": None}], [{"role": "user", "content": 5}], [{"role": "user", "content": {}}],
    [{"role": "wizard", "content": "x"}], [{"role": 5, "content": "x"}], [{"role": None, "content": "x"}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}],
    [{"role": "user", "content": ["x"]}], [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "text", "text": 5}]}],
    [{"role": "assistant", "content": "x", "tool_calls": []}], [{**MESSAGE, "unknown": 1}],
    [{**MESSAGE, "name": 5}],
])
def test_messages_that_are_none_are_refused(server, messages):
    error = error_of(chat(server, messages=messages))
    assert error["param"] == "messages" and "messages" in error["message"]


def test_the_message_at_fault_is_named(server):
    error = error_of(chat(server, messages=[SYSTEM, MESSAGE, {"role": "user", "content": 7}]))
    assert "messages[2].content" in error["message"]


@pytest.mark.parametrize("prompt", [
    None, "", [], [""], [[]], 5, {}, [None], [1, "a"], ["a", 1], [-1], [1.5], [[1, "a"]], [[[1]]], ["a"] * 65,
    [2**32], [2**63 - 1],
])
def test_prompts_that_are_none_are_refused(server, prompt):
    error = error_of(text(server, prompt=prompt))
    assert error["param"] == "prompt" and "prompt" in error["message"]


def test_choices_are_bounded_over_all_prompts(server):
    assert error_of(text(server, prompt=["a"] * 64, n=3))["param"] == "n"


def test_error_messages_quote_at_most_a_part_of_long_names(server):
    name = "x" * 100_000
    response = chat(server, **{name: 1})
    assert error_of(response)["param"].startswith("xxx") and len(response.content) < 2000
    response = chat(server, model=name)
    error_of(response, 404)
    assert len(response.content) < 2000
    # Cut within a character, it is still UTF-8.
    for n in range(4):
        error_of(chat(server, **{"x" * n + "ö€😀" * 100: 1}))
        error_of(chat(server, model="x" * n + "ö€😀" * 100), 404)
        error_of(chat(server, messages=[{"role": "x" * n + "ö€😀" * 100, "content": "x"}]))


def long_chat(n_bytes):
    """Pieces of a chat request with a message of about n_bytes, and their length."""
    pieces = [b'{"model":"smollm2","messages":[{"role":"user","content":"', *[b"a" * 65536] * (n_bytes // 65536),
              b'"}]}']
    return pieces, sum(len(piece) for piece in pieces)


@pytest.mark.parametrize("key", [KEY, "wrong"])
def test_a_body_of_100_mb_is_refused_and_not_kept(server, key):
    before = server.rss_bytes()
    pieces, length = long_chat(100 << 20)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": "Bearer " + key, "Content-Length": str(length)}
    connection.request("POST", CHAT, iter(pieces), headers)
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    assert response.status == (413 if key == KEY else 401)
    if key == KEY:
        assert error["code"] == "body_too_large"
        assert str(length) in error["message"] and str(32 << 20) in error["message"]
    # The connection lives on, and nothing of the body was kept.
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    assert server.rss_bytes() - before < 16 << 20


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(server):
    for length in ((32 << 20) + 1, 100 << 20, 10**15 - 1):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.putrequest("POST", CHAT)
        connection.putheader("Authorization", "Bearer " + KEY)
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()


def test_a_body_below_the_limit_of_one_long_string_is_answered(server):
    error = error_of(post(server, CHAT, b"".join(long_chat(31 << 20)[0])))
    assert error["code"] == "context_length_exceeded"
