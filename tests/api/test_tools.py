"""Tools: calls are parsed, always of a given tool, with arguments that its schema allows."""

import json
import os
from pathlib import Path

import jsonschema
import openai
import pytest

from realm_server import KEY

WEATHER = {"type": "object",
           "properties": {"city": {"type": "string", "maxLength": 12},
                          "unit": {"enum": ["celsius", "fahrenheit"]}},
           "required": ["city", "unit"], "additionalProperties": False}
ADD = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99},
                                        "b": {"type": "integer", "minimum": 0, "maximum": 99}},
       "required": ["a", "b"], "additionalProperties": False}


def tool(name, parameters, **members):
    return {"type": "function", "function": {"name": name, "description": f"does {name}",
                                             "parameters": parameters, **members}}


TOOLS = [tool("weather", WEATHER), tool("add", ADD, strict=True)]
SCHEMAS = {"weather": WEATHER, "add": ADD}
QUESTION = [{"role": "user", "content": "What is the weather in Paris, in celsius?"}]


def ask(client, messages=QUESTION, **fields):
    fields = {"model": "smollm2", "temperature": 0, "max_tokens": 120, "tools": TOOLS, **fields}
    return client.chat.completions.create(messages=messages, **fields)


def check_calls(calls, most=None):
    assert calls
    assert most is None or len(calls) <= most
    assert len({call.id for call in calls}) == len(calls)
    for call in calls:
        assert call.type == "function"
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])


def gather(stream):
    """The choices of a stream as {index: (content, [calls], finish_reason)}."""
    choices = {}
    for chunk in stream:
        for choice in chunk.choices:
            state = choices.setdefault(choice.index, {"content": "", "calls": [], "finish": None})
            state["content"] += choice.delta.content or ""
            state["finish"] = choice.finish_reason or state["finish"]
            for delta in choice.delta.tool_calls or []:
                if delta.index == len(state["calls"]):
                    assert delta.id and delta.type == "function" and delta.function.name
                    state["calls"].append(delta)
                else:
                    assert delta.index == len(state["calls"]) - 1 and delta.id is None
                    state["calls"][-1].function.arguments += delta.function.arguments
    return choices


def test_required_calls_a_tool(client):
    choice = ask(client, tool_choice="required", parallel_tool_calls=False).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    check_calls(choice.message.tool_calls, most=1)


@pytest.mark.parametrize("name", ["weather", "add"])
def test_a_named_tool_is_the_one_called(client, name):
    choice = ask(client, tool_choice={"type": "function", "function": {"name": name}}).choices[0]
    check_calls(choice.message.tool_calls, most=1)
    assert choice.message.tool_calls[0].function.name == name


@pytest.mark.parametrize("seed", range(4))
def test_arguments_hold_at_any_temperature_streamed_and_not(client, seed):
    fields = {"tool_choice": "required", "temperature": 2, "seed": seed, "n": 2, "max_tokens": 400,
              "parallel_tool_calls": False}
    whole = ask(client, **fields)
    streamed = gather(ask(client, stream=True, **fields))
    for choice in whole.choices:
        check_calls(choice.message.tool_calls)
        state = streamed[choice.index]
        assert state["finish"] == choice.finish_reason == "tool_calls"
        assert state["content"] == ""
        assert ([(c.function.name, c.function.arguments) for c in state["calls"]] ==
                [(c.function.name, c.function.arguments) for c in choice.message.tool_calls])


def test_several_calls_in_one_answer(client):
    # Each call is made likely: the text between two of them begins as a call does.
    choices = [ask(client, tool_choice="required", temperature=1.5, seed=seed, max_tokens=200).choices[0]
               for seed in range(6)]
    finished = [c.message.tool_calls for c in choices if c.finish_reason == "tool_calls"]
    assert any(len(calls) > 1 for calls in finished)
    for calls in finished:
        check_calls(calls)


def test_auto_answers_with_text_or_calls(client):
    story = [{"role": "user", "content": "Say hello."}]
    for seed in range(3):
        choice = ask(client, story, temperature=1, seed=seed, max_tokens=40).choices[0]
        assert (choice.message.tool_calls is None) == (choice.finish_reason != "tool_calls")
        assert "<tool_call>" not in (choice.message.content or "")


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "unit": "celsius"}}\n</tool_call>'
REPEAT = [{"role": "user", "content": "Repeat this exactly, nothing else:\n" + CALL}]


def test_auto_calls_when_the_model_begins_a_call(client):
    choice = ask(client, REPEAT, parallel_tool_calls=False).choices[0]
    assert choice.finish_reason == "tool_calls"
    check_calls(choice.message.tool_calls, most=1)
    assert choice.message.tool_calls[0].function.name == "weather"
    state = gather(ask(client, REPEAT, parallel_tool_calls=False, stream=True))[0]
    assert state["finish"] == "tool_calls"
    assert state["calls"][0].function.arguments == choice.message.tool_calls[0].function.arguments


def test_calls_and_results_may_stand_in_messages(client):
    call = {"id": "call_1", "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Rome", "unit": "celsius"}'}}
    messages = QUESTION + [{"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "call_2"}]}]
    results = [{"role": "tool", "tool_call_id": id, "content": "21 degrees"} for id in ("call_1", "call_2")]
    lengths = [ask(client, messages + results[:n], max_tokens=5).usage.prompt_tokens for n in (0, 1, 2)]
    assert lengths[0] + 5 < lengths[1] and lengths[1] + 5 < lengths[2]


def test_none_calls_nothing_and_tells_of_no_tool(client):
    with_tools = ask(client, tool_choice="none", max_tokens=10)
    without = client.chat.completions.create(model="smollm2", temperature=0, max_tokens=10,
                                             messages=QUESTION)
    assert with_tools.choices[0].message.content == without.choices[0].message.content
    assert with_tools.usage.prompt_tokens == without.usage.prompt_tokens


def test_a_cut_call_ends_by_length(client):
    choice = ask(client, tool_choice="required", max_tokens=20).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls[0].function.name in SCHEMAS


def test_calls_compose_with_logprobs_and_stop(client):
    choice = ask(client, tool_choice="required", logprobs=True, top_logprobs=2, stop=["celsius"],
                 parallel_tool_calls=False).choices[0]
    assert choice.logprobs.content
    assert "celsius" not in choice.message.tool_calls[0].function.arguments
    chunks = list(ask(client, tool_choice="required", logprobs=True, stream=True,
                      parallel_tool_calls=False))
    assert sum(len(c.choices[0].logprobs.content) for c in chunks
               if c.choices and c.choices[0].logprobs) > 10


def test_a_tool_without_parameters_gets_none(client):
    choice = ask(client, tools=[{"type": "function", "function": {"name": "now"}}],
                 tool_choice="required", parallel_tool_calls=False).choices[0]
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {}


def test_an_answer_may_be_a_call_or_follow_response_format(client):
    fields = {"response_format": {"type": "json_schema", "json_schema": {
        "name": "sum", "schema": ADD}}, "temperature": 1}
    for seed in range(3):
        choice = ask(client, seed=seed, **fields).choices[0]
        if choice.message.tool_calls:
            check_calls(choice.message.tool_calls)
        else:
            jsonschema.validate(json.loads(choice.message.content), ADD)


CHATML = ("{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}"
          "{% for c in m.tool_calls %}{{c.function.arguments|tojson}}{% endfor %}<|im_end|>\n{% endfor %}")
TEMPLATES = {
    "llama": CHATML + '{% for t in tools %}{{t|tojson}}{% endfor %}{# "parameters": dictionary #}<|im_start|>assistant\n',
    "hermes": CHATML + "{% for t in tools %}{{t|tojson}}{% endfor %}{# <tool_call> #}<|im_start|>assistant\n",
}


def with_template(path, source):
    """SmolLM2 with another chat template, which takes the place of its own byte for byte."""
    data = Path(os.environ["REALM_MODEL_SMOLLM2"]).read_bytes()
    begin = data.index(b"{% for message in messages %}")
    end = data.index(b"assistant\n' }}{% endif %}", begin) + len(b"assistant\n' }}{% endif %}")
    filler = end - begin - len(source) - len("{##}")
    path.write_bytes(data[:begin] + ("{#" + " " * filler + "#}" + source).encode() + data[end:])
    return path


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_that_know_tools_write_them_themselves(own_server, tmp_path, name):
    path = with_template(tmp_path / "model.gguf", TEMPLATES[name])
    running = own_server(models=(f"smollm2={path}",))
    with openai.OpenAI(base_url=running.url + "/v1", api_key=KEY, max_retries=0) as client:
        for seed in range(3):
            fields = {"tool_choice": "required", "temperature": 1.5, "seed": seed, "max_tokens": 300}
            choice = ask(client, parallel_tool_calls=False, **fields).choices[0]
            assert choice.finish_reason == "tool_calls"
            check_calls(choice.message.tool_calls, most=1)
        history = QUESTION + [choice.message.model_dump(exclude_none=True),
                              {"role": "tool", "tool_call_id": "x", "content": "21"}]
        choice = ask(client, history, temperature=1, max_tokens=30).choices[0]
        assert (choice.message.tool_calls is None) == (choice.finish_reason != "tool_calls") or (
            choice.finish_reason == "length")
        if name == "llama":
            with pytest.raises(openai.BadRequestError):
                ask(client, response_format={"type": "json_object"})


@pytest.mark.parametrize("fields, param", [
    ({"tools": []}, "tools"),
    ({"tools": [{"type": "web_search"}]}, "tools"),
    ({"tools": [tool("two words", ADD)]}, "tools"),
    ({"tools": [tool("a", ADD), tool("a", ADD)]}, "tools"),
    ({"tools": [tool("a", {"type": "string"})]}, "tools"),
    ({"tools": [tool("a", ADD, deferred=True)]}, "tools"),
    ({"tools": [tool("a", {"type": "object", "properties": {"x": {"type": "nothing"}}})]}, "tools"),
    ({"tool_choice": "any"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "absent"}}}, "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ({"tools": None, "tool_choice": "required"}, "tool_choice"),
    ({"tools": None, "parallel_tool_calls": True}, "parallel_tool_calls"),
    ({"extra_body": {"guided_regex": "a+"}}, "guided_regex"),
    ({"messages": [{"role": "assistant", "tool_calls": []}]}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{"}}]}]}, "messages"),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{}"}}]}]}, "messages"),
])
def test_what_cannot_be_is_refused_by_name(client, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **fields)
    assert refused.value.param == param
