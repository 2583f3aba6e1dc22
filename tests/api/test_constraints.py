"""Completions that must satisfy a JSON schema, a regular expression or a grammar."""

import json
import re

import jsonschema
import openai
import pytest

SYSTEM = {"role": "system", "content": "You are a helpful assistant that answers in JSON."}
MAX_TOKENS = 300


def ask(client, content, **fields):
    fields = {"model": "smollm2", "temperature": 0, "max_tokens": MAX_TOKENS,
              "messages": [SYSTEM, {"role": "user", "content": content}], **fields}
    return client.chat.completions.create(**fields)


def by_schema(schema, **members):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **members}}


def an_object(properties, **members):
    return {"type": "object", "properties": properties, "required": list(properties),
            "additionalProperties": False, **members}


def text(length):
    return {"type": "string", "maxLength": length}


def numbers(low, high):
    return {"type": "integer", "minimum": low, "maximum": high}


SCHEMAS = {
    "city": an_object({"city": text(20), "country": text(20), "capital": {"type": "boolean"}}),
    "integer": numbers(1, 20),
    "number": {"type": "number", "minimum": 0, "maximum": 1},
    "string": {"type": "string", "minLength": 3, "maxLength": 12},
    "enum": {"enum": ["red", "green", "blue", 7, None]},
    "const": an_object({"kind": {"const": "pet"}, "name": text(10)}),
    "array": {"type": "array", "items": numbers(0, 9), "minItems": 2, "maxItems": 5},
    "tuple": {"type": "array", "prefixItems": [text(8), {"type": "boolean"}, numbers(0, 3)],
              "items": False, "minItems": 3},
    "nested": an_object({"person": an_object({"name": text(15), "age": numbers(0, 120)}),
                         "tags": {"type": "array", "items": text(8), "maxItems": 3}}),
    "optional": {"type": "object", "properties": {"a": numbers(0, 5), "b": text(5)},
                 "required": ["a"], "additionalProperties": False},
    "any of": {"anyOf": [an_object({"circle": numbers(1, 9)}), an_object({"square": numbers(1, 9)})]},
    "null or string": an_object({"nick": {"type": ["string", "null"], "maxLength": 6}}),
    "pattern": an_object({"zip": {"type": "string", "pattern": "^[0-9]{5}$"}}),
    "date": an_object({"day": {"type": "string", "format": "date"}}),
    "uuid": an_object({"id": {"type": "string", "format": "uuid"}}),
    "email": an_object({"mail": {"type": "string", "format": "email", "maxLength": 30}}),
    "map": {"type": "object", "patternProperties": {"^[a-z]{1,4}$": numbers(0, 3)},
            "additionalProperties": False, "minProperties": 1, "maxProperties": 2},
    "tree": {"$ref": "#/$defs/node",
             "$defs": {"node": an_object({"value": numbers(0, 9),
                                          "children": {"type": "array", "maxItems": 1,
                                                       "items": {"$ref": "#/$defs/leaf"}}}),
                       "leaf": an_object({"value": numbers(0, 9)})}},
    "unicode": an_object({"größe": numbers(1, 3), "名前": {"enum": ["犬", "猫"]}}),
    "ranges": an_object({"low": {"type": "number", "exclusiveMinimum": -2.5, "exclusiveMaximum": 2.5},
                         "even": {"type": "integer", "multipleOf": 2, "minimum": 0, "maximum": 8}}),
    "all of": {"allOf": [{"type": "object", "properties": {"x": numbers(0, 9)}, "required": ["x"]},
                         {"type": "object", "properties": {"y": text(4)}, "required": ["y"]}],
               "properties": {"x": True, "y": True},
               "additionalProperties": False},
}
# A number may have any digits after its point, so a model may go on until max_tokens.
ENDLESS = {"number", "ranges"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_answers_validate_against_the_schema(client, name):
    """Greedy, and hot enough that only the constraint can hold the model."""
    schema = SCHEMAS[name]
    for heat in ({"temperature": 0}, {"temperature": 1.5, "seed": 5, "n": 2}):
        answer = ask(client, f"Give me an example of: {name}.", response_format=by_schema(schema, strict=True),
                     **heat)
        for choice in answer.choices:
            if choice.finish_reason == "length" and name in ENDLESS:
                assert re.search(r"\.[0-9]+$", choice.message.content)
                continue
            assert choice.finish_reason == "stop", choice.message.content
            jsonschema.validate(json.loads(choice.message.content), schema,
                                format_checker=jsonschema.FormatChecker())


def test_a_json_object_is_one(client):
    for seed in range(4):
        answer = ask(client, "Describe a cat in JSON with two short fields.", temperature=0.8, seed=seed,
                     response_format={"type": "json_object"})
        if answer.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(answer.choices[0].message.content), dict)
        else:
            assert answer.choices[0].message.content.lstrip().startswith("{")


def test_a_stream_with_two_choices_and_logprobs_validates(client):
    schema = SCHEMAS["city"]
    texts, finishes, n_logprobs = ["", ""], {}, 0
    for chunk in ask(client, "Describe a city.", temperature=1.2, seed=3, n=2, stream=True, logprobs=True,
                     top_logprobs=3, response_format=by_schema(schema)):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            for item in choice.logprobs.content if choice.logprobs else []:
                assert len(item.top_logprobs) == 3 and item.logprob <= 0
                n_logprobs += 1
            if choice.finish_reason:
                finishes[choice.index] = choice.finish_reason
    assert finishes == {0: "stop", 1: "stop"} and n_logprobs > 10
    for answer in texts:
        jsonschema.validate(json.loads(answer), schema)
    assert texts[0] != texts[1]


def test_a_regular_expression_holds(client):
    pattern = r"(yes|no), [0-9]{2}\.[0-9]{3}( [a-f]{1,6}){2}!"
    for seed in range(3):
        answer = ask(client, "Is it so?", temperature=1, seed=seed, extra_body={"guided_regex": pattern})
        assert re.fullmatch(pattern, answer.choices[0].message.content)
        assert answer.choices[0].finish_reason == "stop"


def test_a_grammar_holds_for_both_kinds_of_completion(client):
    grammar = 'start: sum "="\nsum: NUMBER ("+" NUMBER)~2..3\nNUMBER: /[1-9][0-9]{0,2}/\n'
    wanted = r"[1-9][0-9]{0,2}(\+[1-9][0-9]{0,2}){2,3}="
    chat = ask(client, "A sum, please.", temperature=1, seed=1, extra_body={"guided_grammar": grammar})
    assert re.fullmatch(wanted, chat.choices[0].message.content)
    plain = client.completions.create(model="smollm2", prompt=["1+2=", "A sum: "], temperature=1, seed=1, n=2,
                                      max_tokens=60, extra_body={"guided_grammar": grammar})
    assert len(plain.choices) == 4
    for choice in plain.choices:
        assert re.fullmatch(wanted, choice.text)


def test_a_constraint_composes_with_bias_stop_and_max_tokens(client, server):
    from realm_server import tokens_of
    yes = tokens_of("yes")
    fields = {"guided_regex": "(yes|no)"}
    assert len(yes) == 1
    assert ask(client, "Say it.", logit_bias={yes[0]: 100}, extra_body=fields).choices[0].message.content == "yes"
    assert ask(client, "Say it.", logit_bias={yes[0]: -100}, extra_body=fields).choices[0].message.content != ""
    cut = ask(client, "Count.", stop=["55"], extra_body={"guided_regex": "5{50}"}).choices[0]
    assert (cut.finish_reason, "55" in cut.message.content) == ("stop", False)
    short = ask(client, "Count.", max_tokens=3, extra_body={"guided_regex": "[0-9]{50}"}).choices[0]
    assert short.finish_reason == "length" and re.fullmatch("[0-9]+", short.message.content)


@pytest.mark.parametrize("fields, param, reason", [
    ({"response_format": by_schema({"type": "strin"})}, "response_format", "strin"),
    ({"response_format": by_schema({"$ref": "#/nowhere"})}, "response_format", "nowhere"),
    ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format", "name"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
     "response_format", "name"),
    ({"response_format": by_schema({}, strict=1)}, "response_format", "strict"),
    ({"response_format": by_schema({}, other=1)}, "response_format", "nothing else"),
    ({"response_format": {"type": "xml"}}, "response_format", "xml"),
    ({"response_format": {"type": "json_object", "x": 1}}, "response_format", "nothing else"),
    ({"response_format": "json"}, "response_format", "type"),
    ({"guided_regex": "a("}, "guided_regex", "unclosed"),
    ({"guided_regex": "(" * 10000 + "a" + ")" * 10000}, "guided_regex", "nested"),
    ({"guided_regex": 5}, "guided_regex", "string"),
    ({"guided_grammar": "begin: x"}, "guided_grammar", "start"),
    ({"guided_grammar": "x" * 300000}, "guided_grammar", "at most"),
    ({"guided_regex": "a", "guided_grammar": 'start: "a"'}, "guided_grammar", "both"),
])
def test_what_cannot_be_followed_is_refused_with_the_reason(client, fields, param, reason):
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, "x", extra_body=fields)
    assert refusal.value.param == param
    assert reason in refusal.value.message
