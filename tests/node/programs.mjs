// OpenAI's Node client talks to a program as to a model: REALM_URL, REALM_KEY, REALM_NODE, REALM_PROGRAM (its name).
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.REALM_NODE}/`);
const { OpenAI } = require('openai');

const client = new OpenAI({
    baseURL: `${process.env.REALM_URL}/v1`, apiKey: process.env.REALM_KEY, maxRetries: 0,
});
const request = {
    model: `program:${process.env.REALM_PROGRAM}`,
    temperature: 0,
    max_tokens: 12,
    messages: [
        { role: 'system', content: 'You are a helpful assistant.' },
        { role: 'user', content: 'What is the capital of France?' },
    ],
};

const whole = await client.chat.completions.create(request);
assert.equal(whole.object, 'chat.completion');
assert.equal(whole.choices[0].message.role, 'assistant');
assert.match(whole.choices[0].message.content, /Paris/);
assert.ok(whole.usage.completion_tokens > 3);

const stream = await client.chat.completions.create(
    { ...request, stream: true, stream_options: { include_usage: true } });
let text = '';
const reasons = [];
let usage;
for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    text += chunk.choices[0]?.delta.content ?? '';
    reasons.push(chunk.choices[0]?.finish_reason ?? null);
    usage = chunk.usage ?? usage;
}
assert.equal(text, whole.choices[0].message.content);
assert.deepEqual(reasons.filter((reason) => reason), [whole.choices[0].finish_reason]);
assert.deepEqual(usage, whole.usage);

const error = await client.chat.completions.create({ ...request, model: 'program:none' })
    .then(() => assert.fail('was not refused'), (thrown) => thrown);
assert.ok(error instanceof OpenAI.NotFoundError, error.message);

console.log('ok');
