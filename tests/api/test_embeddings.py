"""Embeddings: vectors of length 1 that tell meanings apart, the same in every form."""

import base64
import math
import struct

import openai
import pytest

from realm_server import tokens_of

TEXTS = ["The cat sleeps on the sofa.", "A kitten is napping on the couch.",
         "The central bank raised interest rates."]


def embed(client, input, **fields):
    return client.embeddings.create(model="smollm2", input=input, **fields)


def vectors(answer):
    return [item.embedding for item in answer.data]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_have_length_one_and_tell_meanings_apart(client):
    answer = embed(client, TEXTS)
    cat, kitten, bank = vectors(answer)
    assert [item.index for item in answer.data] == [0, 1, 2] and answer.model == "smollm2"
    for vector in (cat, kitten, bank):
        assert len(vector) == 576 and math.isclose(dot(vector, vector), 1, rel_tol=1e-5)
    assert dot(cat, kitten) > dot(cat, bank)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(len(tokens_of(t)) for t in TEXTS)


def test_every_form_gives_the_same(client):
    whole = vectors(embed(client, TEXTS))
    assert vectors(embed(client, TEXTS, encoding_format="float")) == [pytest.approx(v) for v in whole]
    assert vectors(embed(client, TEXTS[1])) == [whole[1]]
    assert vectors(embed(client, [tokens_of(text) for text in TEXTS])) == whole
    assert vectors(embed(client, tokens_of(TEXTS[0]))) == [whole[0]]
    raw = client.post("/embeddings", cast_to=object, body={"model": "smollm2", "input": TEXTS[0],
                                                           "encoding_format": "base64"})
    data = base64.b64decode(raw["data"][0]["embedding"], validate=True)
    assert list(struct.unpack("<576f", data)) == pytest.approx(whole[0])


def test_fewer_dimensions_are_the_first_ones_scaled_again(client):
    whole, few = vectors(embed(client, TEXTS[0]))[0], vectors(embed(client, TEXTS[0], dimensions=7))[0]
    length = math.sqrt(dot(whole[:7], whole[:7]))
    assert few == pytest.approx([x / length for x in whole[:7]], rel=1e-4)


@pytest.mark.parametrize("fields, param", [
    ({"input": []}, "input"), ({"input": {}}, "input"), ({"input": [[]]}, "input"), ({"input": [1, "a"]}, "input"),
    ({"input": ["a"] * 257}, "input"), ({"input": [10**6]}, "input"), ({"input": "a " * 9000}, "input"),
    ({"encoding_format": "int8"}, "encoding_format"), ({"dimensions": 577}, "dimensions"),
    ({"dimensions": 0}, "dimensions"), ({"extra_body": {"temperature": 1}}, "temperature"),
])
def test_what_cannot_be_is_refused_by_name(client, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        embed(client, **{"input": "a", **fields})
    assert refused.value.param == param


def test_timeout_ends_a_request(client):
    with pytest.raises(openai.InternalServerError) as ended:
        client.completions.create(model="smollm2", prompt="a " * 3000, max_tokens=4000,
                                  extra_body={"timeout": 0.05, "ignore_eos": True})
    assert ended.value.status_code == 504 and ended.value.code == "deadline_exceeded"
    with pytest.raises(openai.APIError, match="deadline"):
        for _ in client.completions.create(model="smollm2", prompt="a", max_tokens=4000, stream=True,
                                           extra_body={"timeout": 1, "ignore_eos": True}):
            pass
