"""Tokenize, detokenize and apply-template, by the names of llama.cpp and of vLLM."""

import openai
import pytest

from realm_server import tokens_of

TEXT = "Hello <|im_end|> wörld \U0001f600"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def post(client, path, **body):
    return client.post(str(client.base_url.join(path)), cast_to=object, body=body)


def test_tokens_come_and_go_back(client):
    answer = post(client, "/tokenize", model="smollm2", content=TEXT)
    assert answer["tokens"] == tokens_of(TEXT) and answer["count"] == len(answer["tokens"])
    assert answer["max_model_len"] == client.models.retrieve("smollm2").context_length
    back = post(client, "/detokenize", tokens=answer["tokens"])
    assert back == {"content": TEXT, "prompt": TEXT}


def test_pieces_and_strings(client):
    answer = post(client, "/tokenize", prompt="Hello there", with_pieces=True, return_token_strs=True)
    assert [piece["piece"] for piece in answer["tokens"]] == answer["token_strs"]
    assert "".join(answer["token_strs"]) == "Hello there"
    assert post(client, "/tokenize", content="", return_token_strs=True)["tokens"] == []


def test_special_tokens_may_be_text(client):
    special = post(client, "/tokenize", content="<|im_end|>")
    text = post(client, "/tokenize", content="<|im_end|>", parse_special=False)
    assert special["count"] == 1 < text["count"]


def test_a_template_gives_the_prompt_of_a_chat(client):
    prompt = post(client, "/apply-template", messages=MESSAGES)["prompt"]
    assert "Be brief." in prompt and prompt.endswith("<|im_start|>assistant\n")
    chat = client.chat.completions.create(model="smollm2", messages=MESSAGES, max_tokens=1)
    assert post(client, "/tokenize", content=prompt)["count"] == chat.usage.prompt_tokens


@pytest.mark.parametrize("path, body, param", [
    ("/tokenize", {}, "content"), ("/tokenize", {"content": 1}, "content"),
    ("/tokenize", {"content": "a", "prompt": "a"}, "prompt"),
    ("/detokenize", {"tokens": [10**9]}, "tokens"), ("/detokenize", {"tokens": "a"}, "tokens"),
    ("/apply-template", {}, "messages"), ("/apply-template", {"messages": [{}]}, "messages"),
])
def test_what_cannot_be_is_refused_by_name(client, path, body, param):
    with pytest.raises(openai.BadRequestError) as refused:
        post(client, path, **body)
    assert refused.value.param == param
