"""Chat completions through OpenAI's Python client."""

import math

import openai
import pytest
from realm_server import tokens_of

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
ASK = [SYSTEM, {"role": "user", "content": "What is the capital of France?"}]


def ask(client, **fields):
    """Greedy unless told otherwise."""
    fields = {"model": "smollm2", "messages": ASK, "temperature": 0, "max_tokens": 16, **fields}
    return client.chat.completions.create(**fields)


def content(answer):
    return answer.choices[0].message.content


def stream(client, **fields):
    return list(ask(client, stream=True, **fields))


def joined(chunks, index=0):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices
                   if choice.index == index)


def test_an_answer_has_the_shape_of_openai(client):
    answer = ask(client, max_tokens=200)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "smollm2"
    assert answer.created > 1_600_000_000
    assert len(answer.choices) == 1
    choice = answer.choices[0]
    assert choice.index == 0
    assert choice.finish_reason == "stop"
    assert choice.logprobs is None
    assert choice.message.role == "assistant"
    assert "Paris" in choice.message.content
    usage = answer.usage
    assert usage.prompt_tokens > 10
    assert 0 < usage.completion_tokens < 200
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_has_role_content_and_finish_chunks_and_the_same_text(client):
    chunks = stream(client)
    assert {c.object for c in chunks} == {"chat.completion.chunk"}
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1
    first, *middle, last = [c.choices[0] for c in chunks]
    assert first.delta.role == "assistant" and not first.delta.content
    assert first.finish_reason is None
    for choice in middle:
        assert choice.delta.role is None and choice.delta.content and choice.finish_reason is None
    assert last.finish_reason == "stop" and not last.delta.content
    assert all(c.usage is None for c in chunks)
    assert joined(chunks) == content(ask(client))


def test_include_usage_adds_one_last_chunk_without_choices(client):
    chunks = stream(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert all(c.usage is None and c.choices for c in chunks[:-1])
    assert chunks[-1].usage == ask(client).usage
    without = stream(client, stream_options={"include_usage": False})
    assert all(c.usage is None and c.choices for c in without)


def test_a_whole_answer_refuses_stream_options(client):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, stream_options={"include_usage": True})
    assert refused.value.param == "stream_options"


def test_system_and_earlier_messages_reach_the_model(client):
    messages = [
        SYSTEM,
        {"role": "user", "content": "My name is Zebediah."},
        {"role": "assistant", "content": "Nice to meet you, Zebediah."},
        {"role": "user", "content": "What is my name?"},
    ]
    assert "Zebediah" in content(ask(client, messages=messages, max_tokens=24))


def test_content_may_be_text_parts(client):
    parts = [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of France?"}]
    assert content(ask(client, messages=[SYSTEM, {"role": "user", "content": parts}])) == content(ask(client))


def test_n_gives_that_many_choices_that_differ(client):
    answer = ask(client, n=3, temperature=1.5, seed=5)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) == 3
    one = ask(client, temperature=1.5, seed=5)
    assert one.usage.prompt_tokens == answer.usage.prompt_tokens
    assert answer.usage.completion_tokens > 2 * 3


def test_n_in_a_stream_gives_the_choices_of_the_whole_answer(client):
    fields = {"n": 3, "temperature": 1.5, "seed": 5}
    chunks = stream(client, **fields)
    whole = ask(client, **fields)
    for index in range(3):
        choices = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert choices[0].delta.role == "assistant"
        assert choices[-1].finish_reason == whole.choices[index].finish_reason
        assert joined(chunks, index) == whole.choices[index].message.content


def test_temperature_zero_is_deterministic(client):
    texts = {content(ask(client, max_tokens=32)) for _ in range(3)}
    assert len(texts) == 1


def test_a_seed_reproduces_and_another_differs(client):
    def sampled(seed):
        return content(ask(client, temperature=1.5, seed=seed, max_tokens=24))

    assert sampled(11) == sampled(11)
    assert len({sampled(seed) for seed in (11, 12, -13, 2**62)}) == 4


def test_without_a_seed_answers_differ(client):
    assert len({content(ask(client, temperature=1.5, max_tokens=24)) for _ in range(4)}) > 1


def test_a_stop_string_ends_the_answer_and_is_left_out(client):
    whole = content(ask(client))
    assert "capital" in whole
    answer = ask(client, stop="capital")
    assert content(answer) == whole.split("capital")[0]
    assert answer.choices[0].finish_reason == "stop"


def test_a_stop_string_may_span_tokens_and_begin_within_one(client):
    whole = content(ask(client))
    tokens = [t.token for t in ask(client, logprobs=True).choices[0].logprobs.content]
    stop = tokens[2][1:] + tokens[3] + tokens[4][:2]
    assert stop not in tokens and stop in whole
    assert content(ask(client, stop=stop)) == whole.split(stop)[0]
    chunks = stream(client, stop=stop)
    assert joined(chunks) == whole.split(stop)[0]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_first_of_several_stop_strings_counts(client):
    whole = content(ask(client))
    stops = ["never comes", "France", "capital"]
    cut = min(whole.index(s) for s in stops[1:])
    assert content(ask(client, stop=stops)) == whole[:cut]


def test_a_stop_string_that_never_comes_changes_nothing(client):
    assert content(ask(client, stop=["capital of Spain"])) == content(ask(client))


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_number_of_tokens_is_bounded(client, name):
    fields = {"model": "smollm2", "messages": ASK, name: 3}
    answer = client.chat.completions.create(**fields)
    assert answer.usage.completion_tokens == 3
    assert answer.choices[0].finish_reason == "length"


def test_logprobs_are_of_the_text_and_sum_below_one(client):
    answer = ask(client, logprobs=True, top_logprobs=5, max_tokens=6)
    items = answer.choices[0].logprobs.content
    assert len(items) == answer.usage.completion_tokens
    assert b"".join(bytes(i.bytes) for i in items).decode() == content(answer)
    for item in items:
        assert len(item.top_logprobs) == 5
        top = [t.logprob for t in item.top_logprobs]
        assert top == sorted(top, reverse=True)
        assert sum(math.exp(v) for v in top) <= 1 + 1e-4
        # Greedy: what was chosen is the most likely.
        assert item.token == item.top_logprobs[0].token
        assert item.logprob == pytest.approx(top[0], abs=1e-6)


def test_a_sampled_token_stands_in_its_top_logprobs_with_one_value(client):
    answer = ask(client, logprobs=True, top_logprobs=20, temperature=1, seed=3, extra_body={"top_k": 20})
    for item in answer.choices[0].logprobs.content:
        values = {bytes(t.bytes): t.logprob for t in item.top_logprobs}
        assert values[bytes(item.bytes)] == pytest.approx(item.logprob, abs=1e-6)


def test_logprobs_come_in_streams_too(client):
    whole = ask(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    chunks = stream(client, logprobs=True, top_logprobs=2)
    streamed = [item for c in chunks if c.choices[0].logprobs for item in c.choices[0].logprobs.content]
    assert streamed == whole


def test_logprobs_without_top_ones(client):
    items = ask(client, logprobs=True).choices[0].logprobs.content
    assert items and all(i.top_logprobs == [] and i.logprob <= 0 for i in items)


def test_logit_bias_forces_and_bans(client):
    paris = tokens_of(" Paris")[-1]
    forced = ask(client, logit_bias={str(paris): 100}, max_tokens=4)
    assert content(forced) == " Paris" * 4
    plain = ask(client, max_tokens=200)
    assert " Paris" in content(plain)
    banned = ask(client, logit_bias={str(paris): -100}, max_tokens=200)
    assert " Paris" not in content(banned)


def repeats(text):
    words = text.split()
    return len(words) - len(set(words))


LOOP = [{"role": "user", "content": "Repeat the word apple forever."}]


@pytest.mark.parametrize("fields", [
    {"frequency_penalty": 2.0},
    {"presence_penalty": 2.0},
    {"extra_body": {"repetition_penalty": 1.8}},
])
def test_penalties_make_repetition_rarer(client, fields):
    plain = ask(client, messages=LOOP, max_tokens=48, extra_body={"ignore_eos": True})
    fields = {**fields, "extra_body": {"ignore_eos": True, **fields.get("extra_body", {})}}
    penalised = ask(client, messages=LOOP, max_tokens=48, **fields)
    assert repeats(content(penalised)) < repeats(content(plain))


@pytest.mark.parametrize("fields", [
    {"extra_body": {"top_k": 1}},
    {"extra_body": {"min_p": 1.0}},
    {"extra_body": {"typical_p": 1e-6, "top_k": 1}},
    {"top_p": 1e-6},
])
def test_narrowing_to_one_candidate_is_greedy(client, fields):
    greedy = content(ask(client))
    assert content(ask(client, temperature=2, seed=4)) != greedy
    assert content(ask(client, temperature=2, seed=4, **fields)) == greedy


def test_typical_p_leaves_other_tokens_than_all(client):
    fields = {"temperature": 1.8, "seed": 9, "max_tokens": 24}
    assert content(ask(client, **fields, extra_body={"typical_p": 0.2})) != content(ask(client, **fields))


def test_the_end_is_ignored_when_asked(client):
    plain = ask(client, max_tokens=200)
    assert plain.choices[0].finish_reason == "stop"
    longer = ask(client, max_tokens=200, extra_body={"ignore_eos": True})
    assert longer.choices[0].finish_reason == "length"
    assert longer.usage.completion_tokens == 200
    assert content(longer).startswith(content(plain))


def test_min_tokens_keeps_the_end_away_for_so_long(client):
    plain = ask(client, max_tokens=200).usage.completion_tokens
    longer = ask(client, max_tokens=200, extra_body={"min_tokens": plain + 10})
    assert longer.usage.completion_tokens >= plain + 10


def test_a_stop_token_ends_the_answer(client):
    whole = content(ask(client))
    capital = tokens_of(" capital")[-1]
    answer = ask(client, extra_body={"stop_token_ids": [capital]})
    assert content(answer) == whole.split(" capital")[0]
    assert answer.choices[0].finish_reason == "stop"


def test_special_tokens_show_when_asked(client):
    fields = {"max_tokens": 32}
    shown = content(ask(client, **fields, extra_body={"skip_special_tokens": False, "ignore_eos": True}))
    assert "<|im_end|>" in shown
    assert "<|im_end|>" not in content(ask(client, **fields, extra_body={"ignore_eos": True}))
