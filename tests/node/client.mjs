// OpenAI's Node client against a server: REALM_URL, REALM_KEY, REALM_NODE (folder of node_modules).
// Runs every check below; prints one line each, and exits with the number of those that failed.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.REALM_NODE}/`);
const { OpenAI } = require('openai');

const options = { baseURL: `${process.env.REALM_URL}/v1`, apiKey: process.env.REALM_KEY, maxRetries: 0 };
const client = new OpenAI(options);
const request = {
    model: 'smollm2',
    temperature: 0,
    max_tokens: 12,
    messages: [
        { role: 'system', content: 'You are a helpful assistant.' },
        { role: 'user', content: 'What is the capital of France?' },
    ],
};

async function collect(stream) {
    const chunks = [];
    for await (const chunk of stream) {
        chunks.push(chunk);
    }
    return chunks;
}

async function refused(type, status, promise) {
    const error = await promise.then(() => assert.fail('was not refused'), (thrown) => thrown);
    assert.ok(error instanceof type, `${error?.constructor?.name}: ${error?.message}`);
    assert.equal(error.status, status);
    assert.ok(error.requestID);
    return error;
}

async function metric(name) {
    const answer = await fetch(`${process.env.REALM_URL}/metrics`,
        { headers: { authorization: `Bearer ${process.env.REALM_KEY}` } });
    return Number((await answer.text()).match(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm'))[1]);
}

async function until(condition) {
    const end = Date.now() + 30_000;
    while (!(await condition())) {
        assert.ok(Date.now() < end, 'not within 30 s');
        await new Promise((done) => setTimeout(done, 20));
    }
}

const city = {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 12 } },
    required: ['city'],
    additionalProperties: false,
};
const weather = { type: 'function', function: { name: 'weather', description: 'of a city', parameters: city } };
const askWeather = {
    ...request, max_tokens: 80, tools: [weather], tool_choice: 'required', parallel_tool_calls: false,
    messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
};

const checks = {
    async 'a chat answer'() {
        const answer = await client.chat.completions.create(request);
        assert.equal(answer.object, 'chat.completion');
        assert.equal(answer.choices[0].message.role, 'assistant');
        assert.match(answer.choices[0].message.content, /Paris/);
        assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    },

    async 'a chat stream has role, content, finish and usage chunks'() {
        const whole = await client.chat.completions.create(request);
        const chunks = await collect(await client.chat.completions.create(
            { ...request, stream: true, stream_options: { include_usage: true } }));
        const usage = chunks.pop();
        assert.deepEqual(usage.choices, []);
        assert.deepEqual(usage.usage, whole.usage);
        assert.equal(chunks[0].choices[0].delta.role, 'assistant');
        assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
        const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join('');
        assert.equal(text, whole.choices[0].message.content);
    },

    async 'the stream helper gathers the final message'() {
        const whole = await client.chat.completions.create(request);
        const stream = client.chat.completions.stream(request);
        const deltas = [];
        stream.on('content', (delta) => deltas.push(delta));
        const final = await stream.finalChatCompletion();
        assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
        assert.equal(deltas.join(''), whole.choices[0].message.content);
    },

    async 'a text completion, whole and streamed'() {
        const body = { model: 'smollm2', prompt: 'The capital of France is', temperature: 0, max_tokens: 8 };
        const whole = await client.completions.create(body);
        assert.match(whole.choices[0].text, /Paris/);
        const chunks = await collect(await client.completions.create({ ...body, stream: true }));
        assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), whole.choices[0].text);
    },

    async 'n, seed, logprobs and an extension field'() {
        const body = { ...request, n: 2, seed: 3, temperature: 1.5, logprobs: true, top_logprobs: 2, top_k: 40 };
        const [one, two] = [await client.chat.completions.create(body), await client.chat.completions.create(body)];
        assert.deepEqual(one.choices, two.choices);
        assert.equal(one.choices.length, 2);
        for (const item of one.choices[1].logprobs.content) {
            assert.equal(item.top_logprobs.length, 2);
        }
    },

    async 'models are listed and retrieved'() {
        const names = [];
        for await (const model of client.models.list()) {
            names.push(model.id);
        }
        assert.deepEqual(names, ['smollm2']);
        assert.equal((await client.models.retrieve('smollm2')).owned_by, 'realm');
    },

    async 'each error is an exception of its class'() {
        const bad = await refused(OpenAI.BadRequestError, 400,
            client.chat.completions.create({ ...request, temperature: 3 }));
        assert.equal(bad.param, 'temperature');
        assert.equal(bad.code, 'invalid_value');
        assert.equal(bad.type, 'invalid_request_error');
        await refused(OpenAI.BadRequestError, 400,
            client.chat.completions.create({ ...request, stream: true, tools: [] }));
        const missing = await refused(OpenAI.NotFoundError, 404,
            client.chat.completions.create({ ...request, model: 'another' }));
        assert.equal(missing.code, 'model_not_found');
        await refused(OpenAI.NotFoundError, 404, client.models.retrieve('another'));
        const stranger = new OpenAI({ ...options, apiKey: 'wrong' });
        await refused(OpenAI.AuthenticationError, 401, stranger.chat.completions.create(request));
    },

    async 'an aborted stream ends its generation'() {
        const before = await metric('realm_requests_cancelled_total');
        const stream = await client.chat.completions.create(
            { ...request, stream: true, max_tokens: 4000, ignore_eos: true });
        let n = 0;
        for await (const _ of stream) {
            if (++n === 5) {
                stream.controller.abort();
            }
        }
        assert.ok(n >= 5 && n < 4000);
        await until(async () => await metric('realm_sequences_running') === 0);
        assert.equal(await metric('realm_requests_cancelled_total'), before + 1);
    },

    async 'an abort before the answer ends its generation'() {
        const before = await metric('realm_requests_cancelled_total');
        const abort = new AbortController();
        const promise = client.chat.completions.create(
            { ...request, max_tokens: 4000, ignore_eos: true }, { signal: abort.signal });
        await until(async () => await metric('realm_sequences_running') === 1);
        abort.abort();
        await assert.rejects(promise, OpenAI.APIUserAbortError);
        await until(async () => await metric('realm_sequences_running') === 0);
        assert.equal(await metric('realm_requests_cancelled_total'), before + 1);
    },

    async 'a tool is called, and its result is taken'() {
        const { message, finish_reason } = (await client.chat.completions.create(askWeather)).choices[0];
        assert.equal(finish_reason, 'tool_calls');
        assert.deepEqual(Object.keys(JSON.parse(message.tool_calls[0].function.arguments)), ['city']);
        const after = await client.chat.completions.create({
            ...askWeather, tool_choice: 'none', max_tokens: 8,
            messages: [...askWeather.messages, message,
                { role: 'tool', tool_call_id: message.tool_calls[0].id, content: '21 degrees' }],
        });
        assert.ok(after.choices[0].message.content.length > 0);
    },

    async 'the stream helper gathers tool calls'() {
        const whole = await client.chat.completions.create(askWeather);
        const final = await client.chat.completions.stream(askWeather).finalChatCompletion();
        const [call] = final.choices[0].message.tool_calls;
        assert.equal(call.function.arguments, whole.choices[0].message.tool_calls[0].function.arguments);
        assert.equal(final.choices[0].finish_reason, 'tool_calls');
    },

    async 'the tool runner runs the function and answers'() {
        const called = [];
        const runner = client.chat.completions.runTools({
            ...askWeather, max_tokens: 40, tool_choice: { type: 'function', function: { name: 'weather' } },
            tools: [{
                type: 'function',
                function: {
                    name: 'weather', parameters: city, parse: JSON.parse, description: 'of a city',
                    function: (args) => { called.push(args.city); return '21 degrees'; },
                },
            }],
        });
        await runner.done();
        assert.equal(called.length, 1);
        assert.equal(typeof called[0], 'string');
    },

    async 'response_format is followed, whole and streamed'() {
        const body = {
            ...request, max_tokens: 60,
            response_format: { type: 'json_schema', json_schema: { name: 'city', schema: city, strict: true } },
        };
        const whole = (await client.chat.completions.create(body)).choices[0].message.content;
        assert.deepEqual(Object.keys(JSON.parse(whole)), ['city']);
        const streamed = await client.chat.completions.stream(body).finalContent();
        assert.equal(streamed, whole);
    },

    async 'embeddings, as numbers and by the client from base64'() {
        const body = { model: 'smollm2', input: ['one', 'two'] };
        const decoded = await client.embeddings.create(body);
        const floats = await client.embeddings.create({ ...body, encoding_format: 'float' });
        assert.equal(decoded.data.length, 2);
        decoded.data[1].embedding.forEach((x, i) => assert.ok(Math.abs(x - floats.data[1].embedding[i]) < 1e-6));
    },

    async 'a response, whole and streamed, kept, continued and deleted'() {
        const body = { model: 'smollm2', input: 'What is the capital of France?', temperature: 0, max_output_tokens: 12 };
        const whole = await client.responses.create(body);
        assert.ok(whole.output_text.length > 0);
        const events = await collect(await client.responses.create({ ...body, stream: true }));
        assert.equal(events[0].type, 'response.created');
        const text = events.filter((event) => event.type === 'response.output_text.delta');
        assert.equal(text.map((event) => event.delta).join(''), whole.output_text);
        assert.equal((await client.responses.retrieve(whole.id)).output_text, whole.output_text);
        const items = [];
        for await (const item of client.responses.inputItems.list(whole.id)) {
            items.push(item);
        }
        assert.equal(items[0].content[0].text, body.input);
        const next = await client.responses.create({ ...body, input: 'And of Spain?', previous_response_id: whole.id });
        assert.ok(next.usage.input_tokens > whole.usage.input_tokens);
        await client.responses.delete(whole.id);
        await refused(OpenAI.NotFoundError, 404, client.responses.retrieve(whole.id));
    },

    async 'the stream helper of responses gathers functions'() {
        const body = {
            model: 'smollm2', input: 'What is the weather in Paris?', temperature: 0, max_output_tokens: 80,
            tools: [{ type: 'function', name: 'weather', parameters: city, strict: true }],
            tool_choice: 'required', parallel_tool_calls: false,
        };
        const final = await client.responses.stream(body).finalResponse();
        assert.equal(final.output[0].type, 'function_call');
        assert.deepEqual(Object.keys(JSON.parse(final.output[0].arguments)), ['city']);
    },

    async 'a response under way is cancelled'() {
        const stream = await client.responses.create({
            model: 'smollm2', input: 'Count.', max_output_tokens: 4000, ignore_eos: true, stream: true });
        let last;
        for await (const event of stream) {
            if (event.type === 'response.created') {
                assert.equal((await client.responses.cancel(event.response.id)).status, 'cancelled');
            }
            last = event;
        }
        assert.equal(last.response.status, 'cancelled');
    },
};

let n_failed = 0;
for (const [name, check] of Object.entries(checks)) {
    try {
        await check();
        console.log(`ok      ${name}`);
    } catch (error) {
        n_failed++;
        console.log(`FAILED  ${name}: ${error.stack}`);
    }
}
process.exit(n_failed);
