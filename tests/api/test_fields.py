"""Every field of OpenAI's requests acts, which a test shows, or is refused by name.

The fields come from the type definitions of the openai package, so a new one fails here until it
has its place; the extension fields come from docs/api.md."""

import json
import re
import typing
from pathlib import Path

import pytest
import requests
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.chat.chat_completion_stream_options_param import ChatCompletionStreamOptionsParam
from realm_server import KEY, tokens_of

CHAT_FIELDS = sorted(typing.get_type_hints(chat_params.CompletionCreateParamsStreaming))
TEXT_FIELDS = sorted(typing.get_type_hints(text_params.CompletionCreateParamsStreaming))
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
ASK = [SYSTEM, {"role": "user", "content": "What is the capital of France?"}]


def post(server, path, body):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    return requests.post(server.url + path, data=body, timeout=120,
                         headers={"Authorization": "Bearer " + KEY, "Content-Type": "application/json"})


def chat(server, **fields):
    return post(server, "/v1/chat/completions",
                {"model": "smollm2", "messages": ASK, "temperature": 0, "max_tokens": 12, **fields})


def text(server, **fields):
    return post(server, "/v1/completions",
                {"model": "smollm2", "prompt": "The capital of France is", "temperature": 0, "max_tokens": 12,
                 **fields})


def answer_of(response):
    """What of an answer does not change from one time to the next."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        return response.text.count("data: ")
    body = response.json()
    usage = {name: count for name, count in body["usage"].items() if name != "prompt_tokens_details"}
    return body["model"], body["choices"], usage


def refused(response, field):
    assert response.status_code == 400, (response.status_code, response.text)
    error = response.json()["error"]
    assert error["param"] == field and field.split(".")[-1] in error["message"]
    return error


HOT = {"temperature": 1.5, "seed": 1}
PARIS = str(tokens_of(" Paris")[-1])

# field: (fields that stay, fields of which the answer is another one)
ACTS = {
    "frequency_penalty": ({"max_tokens": 40, "ignore_eos": True}, {"frequency_penalty": 2}),
    "presence_penalty": ({"max_tokens": 40, "ignore_eos": True}, {"presence_penalty": 2}),
    "logit_bias": ({}, {"logit_bias": {PARIS: -100}}),
    "max_tokens": ({}, {"max_tokens": 2}),
    "n": ({}, {"n": 2}),
    "seed": (HOT, {"seed": 2}),
    "stop": ({}, {"stop": "is"}),
    "stream": ({}, {"stream": True}),
    "stream_options": ({"stream": True}, {"stream_options": {"include_usage": True}}),
    "temperature": ({"seed": 1}, {"temperature": 2}),
    "top_p": (HOT, {"top_p": 0.01}),
}
CHAT_ACTS = {
    **ACTS,
    "messages": ({}, {"messages": [{"role": "user", "content": "Hello"}]}),
    "logprobs": ({}, {"logprobs": True}),
    "top_logprobs": ({"logprobs": True}, {"top_logprobs": 2}),
    "max_completion_tokens": ({"max_tokens": None}, {"max_completion_tokens": 2}),
    "response_format": ({}, {"response_format": {"type": "json_object"}}),
}
TEXT_ACTS = {
    **ACTS,
    "logit_bias": ({}, {"logit_bias": {PARIS: 100}}),
    "stop": ({}, {"stop": "."}),
    "prompt": ({}, {"prompt": "Two and two make"}),
    "echo": ({}, {"echo": True}),
    "logprobs": ({}, {"logprobs": 1}),
}
# Shown by tests of their own: `model` by answers of two models, `user` and `safety_identifier` by the log.
ELSEWHERE = {"model", "user", "safety_identifier", "tools", "tool_choice", "parallel_tool_calls"}
ONLY_CHAT = {"safety_identifier", "tools", "tool_choice", "parallel_tool_calls"}
# field: (a value that is refused, values that say what is so anyway)
CHAT_REFUSED = {
    "audio": ({"voice": "alloy", "format": "wav"}, []),
    "function_call": ("auto", ["none"]),
    "functions": ([{"name": "f"}], []),
    "metadata": ({"a": "b"}, []),
    "modalities": (["text", "audio"], [["text"]]),
    "moderation": ({"model": "m"}, []),
    "prediction": ({"type": "content", "content": "x"}, []),
    "prompt_cache_key": ("k", []),
    "prompt_cache_options": ({"mode": "x"}, []),
    "prompt_cache_retention": ("24h", []),
    "reasoning_effort": ("low", ["none"]),
    "service_tier": ("flex", ["auto", "default"]),
    "store": (True, [False]),
    "verbosity": ("low", []),
    "web_search_options": ({}, []),
}
TEXT_REFUSED = {"best_of": (3, [1]), "suffix": ("end", [""])}


def test_every_field_of_openai_has_its_place():
    assert set(CHAT_FIELDS) == set(CHAT_ACTS) | set(CHAT_REFUSED) | ELSEWHERE
    assert set(TEXT_FIELDS) == set(TEXT_ACTS) | set(TEXT_REFUSED) | ELSEWHERE - ONLY_CHAT


def check_acts(server, send, kept, changed):
    plain = send(server, **kept)
    assert answer_of(plain) == answer_of(send(server, **kept))
    assert answer_of(send(server, **{**kept, **changed})) != answer_of(plain)


@pytest.mark.parametrize("field", sorted(CHAT_ACTS))
def test_a_field_of_chat_acts(server, field):
    check_acts(server, chat, *CHAT_ACTS[field])


@pytest.mark.parametrize("field", sorted(TEXT_ACTS))
def test_a_field_of_completions_acts(server, field):
    check_acts(server, text, *TEXT_ACTS[field])


def check_refused(server, send, field, value, allowed):
    error = refused(send(server, **{field: value}), field)
    assert error["type"] == "invalid_request_error"
    plain = answer_of(send(server))
    for value in [None, *allowed]:
        assert answer_of(send(server, **{field: value})) == plain


@pytest.mark.parametrize("field", sorted(CHAT_REFUSED))
def test_a_field_of_chat_that_is_not_honoured_is_refused(server, field):
    check_refused(server, chat, field, *CHAT_REFUSED[field])


@pytest.mark.parametrize("field", sorted(TEXT_REFUSED))
def test_a_field_of_completions_that_is_not_honoured_is_refused(server, field):
    check_refused(server, text, field, *TEXT_REFUSED[field])


@pytest.mark.parametrize("field", ["user", "safety_identifier"])
def test_the_end_user_is_written_to_the_log(server, field):
    response = chat(server, **{field: f"someone-by-{field}"}, max_tokens=1)
    assert response.status_code == 200
    lines = [line for line in server.log() if line.get("id") == response.headers["x-request-id"]]
    assert [line["user"] for line in lines] == [f"someone-by-{field}"]


def test_each_stream_option_acts_or_is_refused(server):
    assert set(ChatCompletionStreamOptionsParam.__annotations__) == {"include_usage", "include_obfuscation"}
    for value in (True, 1, "x"):
        refused(chat(server, stream=True, stream_options={"include_obfuscation": value}),
                "stream_options.include_obfuscation")
    assert chat(server, stream=True, stream_options={"include_obfuscation": False}).status_code == 200


@pytest.mark.parametrize("field, value", [
    ("logit_bias", {"49152": 1}), ("stop_token_ids", [1, 49152])])
def test_a_token_that_the_model_lacks_is_refused(server, field, value):
    assert "49151" in refused(chat(server, **{field: value}), field)["message"]
    assert "49151" in refused(text(server, prompt=[1, 49152]), "prompt")["message"]


def test_differing_end_users_are_refused(server):
    refused(chat(server, user="a", safety_identifier="b"), "safety_identifier")


def test_differing_numbers_of_tokens_are_refused(server):
    refused(chat(server, max_tokens=3, max_completion_tokens=4), "max_completion_tokens")
    assert chat(server, max_tokens=3, max_completion_tokens=3).status_code == 200


def test_top_logprobs_need_logprobs(server):
    refused(chat(server, top_logprobs=2), "top_logprobs")


def test_echo_with_logprobs_is_refused(server):
    refused(text(server, echo=True, logprobs=1), "echo")


# --- extension fields: name: (fields that stay, fields of which the answer is another one)
EXTENSION_ACTS = {
    "top_k": (HOT, {"top_k": 1}),
    "min_p": (HOT, {"min_p": 0.9}),
    "typical_p": (HOT, {"typical_p": 0.05}),
    "repetition_penalty": ({"max_tokens": 40, "ignore_eos": True}, {"repetition_penalty": 2}),
    "repeat_last_n": ({"max_tokens": 40, "ignore_eos": True, "repetition_penalty": 2}, {"repeat_last_n": 1}),
    "min_tokens": ({"max_tokens": 40}, {"min_tokens": 30}),
    "ignore_eos": ({"max_tokens": 40}, {"ignore_eos": True}),
    "stop_token_ids": ({}, {"stop_token_ids": [int(PARIS)]}),
    "skip_special_tokens": ({"max_tokens": 40, "ignore_eos": True}, {"skip_special_tokens": False}),
    "dry_multiplier": ({"max_tokens": 60, "ignore_eos": True}, {"dry_multiplier": 5}),
    "dry_base": ({"max_tokens": 60, "ignore_eos": True, "dry_multiplier": 0.2,
                  "dry_sequence_breakers": []}, {"dry_base": 8}),
    "dry_allowed_length": ({"max_tokens": 60, "ignore_eos": True, "dry_multiplier": 5},
                           {"dry_allowed_length": 30}),
    "dry_penalty_last_n": ({"max_tokens": 60, "ignore_eos": True, "dry_multiplier": 5},
                           {"dry_penalty_last_n": 1}),
    "dry_sequence_breakers": ({"max_tokens": 60, "ignore_eos": True, "dry_multiplier": 5},
                              {"dry_sequence_breakers": [" ", "e"]}),
    "mirostat": (HOT, {"mirostat": 2}),
    "mirostat_tau": ({**HOT, "mirostat": 2}, {"mirostat_tau": 0.5}),
    "mirostat_eta": ({**HOT, "mirostat": 2, "max_tokens": 40}, {"mirostat_eta": 1}),
    "guided_regex": ({}, {"guided_regex": "[0-9]{4}"}),
    "guided_grammar": ({}, {"guided_grammar": 'start: "no" | "never"'}),
    "add_generation_prompt": ({}, {"add_generation_prompt": False}),
    "publish_prefix": None,  # tests/api/test_tenants.py
    "chat_template_kwargs": None,  # tests/unit/test_server_fields.c: this model's template has no variable
}


@pytest.mark.parametrize("field", [name for name, row in EXTENSION_ACTS.items() if row])
def test_an_extension_field_acts(server, field):
    check_acts(server, chat, *EXTENSION_ACTS[field])
