"""Text completions and the list of models through OpenAI's Python client."""

import math

import openai
import pytest
from realm_server import GEMMA3, KEY, SMOLLM2, tokens_of

PROMPT = "Once upon a time, there was a"


def complete(client, prompt=PROMPT, **fields):
    fields = {"model": "smollm2", "prompt": prompt, "temperature": 0, "max_tokens": 8, **fields}
    return client.completions.create(**fields)


def text(answer):
    return answer.choices[0].text


def test_an_answer_has_the_shape_of_openai(client):
    answer = complete(client)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.model == "smollm2"
    assert answer.choices[0].index == 0
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].logprobs is None
    assert answer.choices[0].text.startswith(" ")
    assert answer.usage.completion_tokens == 8
    assert answer.usage.prompt_tokens == len(tokens_of(PROMPT))


def test_sixteen_tokens_are_made_when_no_number_is_given(client):
    answer = client.completions.create(model="smollm2", prompt=PROMPT, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 16


def test_a_stream_has_the_same_text_and_a_finish(client):
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}))
    *chunks, usage = chunks
    assert {c.object for c in chunks} == {"text_completion"}
    assert "".join(c.choices[0].text for c in chunks) == text(complete(client))
    assert [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert usage.choices == [] and usage.usage.completion_tokens == 8


def test_a_prompt_may_be_token_ids(client):
    assert text(complete(client, tokens_of(PROMPT))) == text(complete(client))


def test_several_prompts_answer_in_their_order(client):
    prompts = [PROMPT, "The capital of France is", "def add(a, b):\n"]
    answer = complete(client, prompts)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert [c.text for c in answer.choices] == [text(complete(client, p)) for p in prompts]
    assert answer.usage.completion_tokens == 24
    ids = complete(client, [tokens_of(p) for p in prompts])
    assert [c.text for c in ids.choices] == [c.text for c in answer.choices]


def test_several_prompts_with_n_number_their_choices_by_prompt(client):
    prompts = [PROMPT, "The capital of France is"]
    answer = complete(client, prompts, n=2, temperature=1.3, seed=2)
    assert [c.index for c in answer.choices] == [0, 1, 2, 3]
    for i, prompt in enumerate(prompts):
        alone = complete(client, prompt, n=2, temperature=1.3, seed=2)
        assert [c.text for c in alone.choices] == [c.text for c in answer.choices[2 * i:2 * i + 2]]


def test_several_prompts_in_one_stream(client):
    prompts = [PROMPT, "The capital of France is"]
    whole = complete(client, prompts)
    chunks = list(complete(client, prompts, stream=True))
    for i, choice in enumerate(whole.choices):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == i]
        assert "".join(c.text for c in mine) == choice.text
        assert mine[-1].finish_reason == "length"


@pytest.mark.parametrize("prompt", [PROMPT, tokens_of(PROMPT)])
def test_echo_puts_the_prompt_before(client, prompt):
    answer = complete(client, prompt, echo=True)
    assert text(answer) == PROMPT + text(complete(client))
    chunks = list(complete(client, prompt, echo=True, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == text(answer)


def test_logprobs_hold_text_offsets_and_values(client):
    answer = complete(client, logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert "".join(logprobs.tokens) == text(answer)
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == 8
    for i, token in enumerate(logprobs.tokens):
        assert text(answer)[logprobs.text_offset[i]:].startswith(token)
        top = logprobs.top_logprobs[i]
        assert len(top) == 3 and max(top, key=top.get) == token
        assert top[token] == pytest.approx(logprobs.token_logprobs[i], abs=1e-6)
        assert sum(math.exp(v) for v in top.values()) <= 1 + 1e-4


def test_logprobs_in_a_stream_are_those_of_the_whole(client):
    whole = complete(client, logprobs=2).choices[0].logprobs
    tokens, offsets = [], []
    for chunk in complete(client, logprobs=2, stream=True):
        if chunk.choices[0].logprobs:
            tokens += chunk.choices[0].logprobs.tokens
            offsets += chunk.choices[0].logprobs.text_offset
    assert tokens == whole.tokens and offsets == whole.text_offset


def test_a_stop_string_ends_the_text(client):
    whole = text(complete(client, max_tokens=24))
    stop = whole[5:9]
    answer = complete(client, max_tokens=24, stop=[stop])
    assert text(answer) == whole[:whole.index(stop)] and answer.choices[0].finish_reason == "stop"


def test_models_are_listed_and_retrieved(client):
    listed = client.models.list().data
    assert [m.id for m in listed] == ["smollm2"]
    one = client.models.retrieve("smollm2")
    assert one == listed[0]
    assert one.object == "model" and one.owned_by == "realm" and one.created > 1_600_000_000
    assert one.context_length == 8192
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_two_models_answer_by_name(own_server):
    server = own_server("--ctx", "512", models=("small=" + SMOLLM2, "gemma=" + GEMMA3))
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client:
        assert [m.id for m in client.models.list()] == ["small", "gemma"]
        answers = {name: complete(client, model=name) for name in ("small", "gemma")}
        assert all(answer.model == name for name, answer in answers.items())
        assert text(answers["small"]) != text(answers["gemma"])
        # Two vocabularies: the same prompt has another number of tokens, BOS among them.
        assert answers["small"].usage.prompt_tokens != answers["gemma"].usage.prompt_tokens
        chat = client.chat.completions.create(
            model="gemma", temperature=0, max_tokens=16,
            messages=[{"role": "user", "content": "What is the capital of France?"}])
        assert chat.model == "gemma" and chat.usage.completion_tokens > 0
