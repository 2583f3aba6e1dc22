"""Each error as OpenAI's Python client sees it: its exception class, and what the body says."""

import openai
import pytest
from realm_server import KEY

HELLO = [{"role": "user", "content": "Hello"}]


def ask(client, **fields):
    return client.chat.completions.create(**{"model": "smollm2", "messages": HELLO, "max_tokens": 4, **fields})


def raised(exception, function, *arguments, **fields):
    with pytest.raises(exception) as info:
        function(*arguments, **fields)
    assert type(info.value) is exception
    assert info.value.request_id
    body = info.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert len(body["message"]) > 10
    return info.value


def test_a_bad_value_is_a_bad_request_that_names_field_and_value(client):
    error = raised(openai.BadRequestError, ask, client, temperature=7)
    assert error.status_code == 400
    assert error.type == "invalid_request_error"
    assert error.param == "temperature"
    assert error.code == "invalid_value"
    assert "7" in error.body["message"] and "between 0 and 2" in error.body["message"]


def test_an_unknown_field_is_refused_with_the_nearest_name(client):
    error = raised(openai.BadRequestError, ask, client, extra_body={"repetition_penalti": 1})
    assert error.param == "repetition_penalti" and error.code == "unknown_parameter"
    assert '"repetition_penalty"' in error.body["message"]


def test_an_unknown_model_is_not_found(client):
    error = raised(openai.NotFoundError, ask, client, model="gpt-9")
    assert error.param == "model" and error.code == "model_not_found"
    assert "gpt-9" in error.body["message"]
    error = raised(openai.NotFoundError, client.models.retrieve, "gpt-9")
    assert error.code == "model_not_found"


def test_an_unknown_url_is_not_found(client):
    error = raised(openai.NotFoundError, client.moderations.create, input="x")
    assert error.code == "unknown_url" and "/v1/moderations" in error.body["message"]


@pytest.mark.parametrize("key", ["wrong", "rlm_" + "0" * 49, KEY + "x", "x" * 5000])
def test_a_wrong_key_is_an_authentication_error(server, key):
    with openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) as client:
        error = raised(openai.AuthenticationError, ask, client)
    assert error.status_code == 401 and error.type == "authentication_error"
    assert error.code == "invalid_api_key"
    assert key not in error.body["message"]
    assert error.response.headers["www-authenticate"] == "Bearer"


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(client):
    error = raised(openai.BadRequestError, ask, client, messages=[{"role": "user", "content": "word " * 20000}])
    assert error.code == "context_length_exceeded" and error.param == "messages"
    assert "8192 tokens" in error.body["message"] and "the prompt has 200" in error.body["message"]
    tokens = [5] * 8192
    error = raised(openai.BadRequestError, client.completions.create, model="smollm2", prompt=tokens)
    assert error.code == "context_length_exceeded" and error.param == "prompt"
    assert "8192" in error.body["message"]


def test_the_longest_prompt_leaves_one_token(own_server):
    server = own_server("--ctx", "128")
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client:
        answer = client.completions.create(model="smollm2", prompt=[5] * 127, temperature=0, max_tokens=10)
        assert answer.usage.completion_tokens == 1 and answer.choices[0].finish_reason == "length"
        error = raised(openai.BadRequestError, client.completions.create, model="smollm2", prompt=[5] * 128)
        assert error.body["message"].count("128") == 2


def test_an_error_of_a_stream_comes_before_it(client):
    raised(openai.BadRequestError, ask, client, stream=True, temperature=-1)


def test_every_answer_has_a_request_id(client):
    ids = {client.chat.completions.with_raw_response.create(
        model="smollm2", messages=HELLO, max_tokens=1).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
