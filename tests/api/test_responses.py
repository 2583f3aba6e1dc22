"""The responses API: made, streamed, kept for the tenant, continued, cancelled."""

import json
import subprocess
import threading

import jsonschema
import openai
import pytest

from realm_server import KEY, REALM

CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"], "additionalProperties": False}
TOOL = {"type": "function", "name": "weather", "description": "the weather of a city", "parameters": CITY,
        "strict": True}
ABSENT = "resp_" + "0" * 24


def ask(client, input="What is the capital of France?", **fields):
    fields = {"model": "smollm2", "temperature": 0, "max_output_tokens": 24, **fields}
    return client.responses.create(input=input, **fields)


def test_a_response_is_what_a_chat_completion_says(client):
    response = ask(client, instructions="Be brief.", metadata={"a": "b"})
    chat = client.chat.completions.create(
        model="smollm2", temperature=0, max_tokens=24,
        messages=[{"role": "system", "content": "Be brief."},
                  {"role": "user", "content": "What is the capital of France?"}])
    assert response.output_text == chat.choices[0].message.content != ""
    assert response.status == {"stop": "completed", "length": "incomplete"}[chat.choices[0].finish_reason]
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert response.usage.output_tokens == chat.usage.completion_tokens
    assert response.instructions == "Be brief." and response.metadata == {"a": "b"}
    assert response.temperature == 0 and response.max_output_tokens == 24 and response.error is None


def test_a_cut_response_is_incomplete(client):
    response = ask(client, max_output_tokens=2)
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"


def check_order(events):
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = [event.type for event in events]
    assert types[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    return types


def test_a_stream_has_the_events_of_a_message(client):
    events = list(ask(client, stream=True, extra_body={"stop": ["is"]}))
    types = check_order(events)
    assert types[3] == "response.content_part.added"
    assert types[-4:] == ["response.output_text.done", "response.content_part.done",
                          "response.output_item.done", "response.completed"]
    assert set(types[4:-4]) == {"response.output_text.delta"}
    whole = ask(client, extra_body={"stop": ["is"]})
    assert "".join(e.delta for e in events[4:-4]) == events[-4].text == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage.output_tokens == whole.usage.output_tokens
    assert events[-2].item.id == events[2].item.id == events[5].item_id


def test_the_client_s_own_stream_helper_follows(client):
    with client.responses.stream(model="smollm2", input="Say hello.", temperature=0,
                                 max_output_tokens=60, extra_body={"stop": ["is"]}) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text


def test_functions_are_called_and_their_results_taken(client):
    fields = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 80}
    response = ask(client, "Weather in Paris?", **fields)
    [call] = response.output
    assert call.type == "function_call" and call.name == "weather"
    jsonschema.validate(json.loads(call.arguments), CITY)
    events = list(ask(client, "Weather in Paris?", stream=True, **fields))
    types = check_order(events)
    assert types[-3:] == ["response.function_call_arguments.done", "response.output_item.done", "response.completed"]
    assert "".join(e.delta for e in events[3:-3]) == call.arguments == events[-3].arguments
    after = ask(client, [{"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}],
                previous_response_id=response.id, max_output_tokens=8)
    assert after.output_text
    named = ask(client, tools=[TOOL], tool_choice={"type": "function", "name": "weather"}, max_output_tokens=80)
    assert named.output[0].name == "weather"


def test_text_format_holds(client):
    response = ask(client, "A city, as JSON.", max_output_tokens=80, text={
        "format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}})
    jsonschema.validate(json.loads(response.output_text), CITY)
    assert response.text.format.name == "city"
    assert ask(client).text.format.type == "text"


def test_a_response_is_kept_and_continued(client):
    first = ask(client, "My name is Ada. Say hello.")
    again = client.responses.retrieve(first.id)
    assert again == first
    second = ask(client, "What is my name?", previous_response_id=first.id)
    by_hand = ask(client, [{"role": "user", "content": "My name is Ada. Say hello."},
                           {"role": "assistant", "content": [{"type": "output_text", "text": first.output_text}]},
                           {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]}])
    assert second.usage.input_tokens == by_hand.usage.input_tokens
    assert second.output_text == by_hand.output_text and second.previous_response_id == first.id
    streamed = list(ask(client, "What is my name?", previous_response_id=first.id, stream=True))[-1].response
    assert client.responses.retrieve(streamed.id).output_text == second.output_text
    client.responses.delete(first.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            gone(first.id)


def test_what_is_not_to_be_kept_is_not(client):
    response = ask(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_input_items_are_listed_in_pages(client):
    turns = [{"role": "user", "content": str(i)} for i in range(5)]
    response = ask(client, turns, max_output_tokens=1)
    items = list(client.responses.input_items.list(response.id, limit=2, order="asc"))
    assert [item.content[0].text for item in items] == ["0", "1", "2", "3", "4"]
    newest = client.responses.input_items.list(response.id, limit=2)
    assert [item.content[0].text for item in newest.data] == ["4", "3"] and newest.has_more
    with pytest.raises(openai.BadRequestError, match="limit"):
        client.responses.input_items.list(response.id, limit=1000)


def test_a_response_under_way_is_cancelled(client):
    stream = ask(client, "Count to a thousand.", stream=True, max_output_tokens=4000,
                 extra_body={"ignore_eos": True})
    events = iter(stream)
    id = next(events).response.id
    assert client.responses.cancel(id).status == "cancelled"
    last = list(events)[-1]
    assert last.type == "response.incomplete" and last.response.status == "cancelled"
    assert last.response.usage.output_tokens < 4000
    with pytest.raises(openai.BadRequestError, match="ended"):
        client.responses.cancel(id)


def test_responses_survive_a_restart_and_no_other_tenant_sees_them(own_server, tmp_path):
    running = own_server()
    with openai.OpenAI(base_url=running.url + "/v1", api_key=KEY, max_retries=0) as client:
        kept = ask(client, max_output_tokens=3)
        data = ["--data", str(running.folder / "data")]
        subprocess.run([REALM, "tenant", "create", "other", *data], check=True, capture_output=True)
        made = subprocess.run([REALM, "key", "create", "--tenant", "other", "--json", *data],
                              check=True, capture_output=True, text=True)
        other_key = json.loads(made.stdout)["key"]
        with openai.OpenAI(base_url=running.url + "/v1", api_key=other_key, max_retries=0) as other:
            for gone in (other.responses.retrieve, other.responses.delete, other.responses.cancel):
                with pytest.raises(openai.NotFoundError):
                    gone(kept.id)
            with pytest.raises(openai.NotFoundError):
                ask(other, previous_response_id=kept.id)
        assert client.responses.retrieve(kept.id) == kept
    assert running.stop() == 0
    files = list((running.folder / "data" / "responses").glob("*/*"))
    assert [file.name for file in files] == [kept.id] and files[0].stat().st_mode & 0o077 == 0


def test_many_at_once(client):
    found = []
    threads = [threading.Thread(target=lambda i=i: found.append(
        client.responses.retrieve(ask(client, f"Say {i}.", max_output_tokens=4).id).id)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8


@pytest.mark.parametrize("fields, param", [
    ({"input": []}, "input"), ({"input": [{"type": "item_reference", "id": "x"}]}, "input"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input"), ({"input": [{"role": "user", "content": []}]}, "input"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input"),
    ({"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "["}]}, "input"),
    ({"background": True}, "background"), ({"include": ["file_search_call.results"]}, "include"),
    ({"metadata": {"a": 1}}, "metadata"), ({"truncation": "auto"}, "truncation"),
    ({"tools": [{"type": "web_search"}]}, "tools"), ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "absent"}}, "tool_choice"),
    ({"text": {"format": {"type": "yaml"}}}, "text"), ({"text": {"verbosity": "low"}}, "text"),
    ({"reasoning": {"effort": "high"}}, "reasoning"), ({"top_logprobs": 2}, "top_logprobs"),
    ({"extra_body": {"n": 2}}, "n"), ({"extra_body": {"max_tokens": 2}}, "max_tokens"),
    ({"extra_body": {"inputs": 2}}, "inputs"), ({"max_output_tokens": 0}, "max_output_tokens"),
])
def test_what_cannot_be_is_refused_by_name(client, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **fields)
    assert refused.value.param == param


def test_an_unknown_id_is_not_found(client):
    for id in (ABSENT, "resp_x", "resp_" + "." * 24, "other"):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(id)
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, previous_response_id=ABSENT)
    assert refused.value.param == "previous_response_id"
