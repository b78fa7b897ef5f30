// The official openai SDK for JavaScript.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { KEY, QUESTION, URL, called, facts, main } from "./scenario.mjs";

const client = new OpenAI({ baseURL: URL, apiKey: KEY });
const messages = [{ role: "user", content: QUESTION }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: {
        type: "object",
        properties: { city: { type: "string" }, days: { type: "integer" } },
      },
    },
  },
];

const streamed = async (stream) => {
  const pieces = [];
  const finish = [];
  const usage = [];
  for await (const chunk of stream) {
    if (chunk.usage) usage.push(chunk.usage.completion_tokens);
    for (const choice of chunk.choices) {
      if (choice.delta.content) pieces.push(choice.delta.content);
      if (choice.finish_reason) finish.push(choice.finish_reason);
    }
  }
  return facts(pieces, finish.join(","), { usage });
};

const callsOf = (choice) =>
  called(
    (choice.message.tool_calls ?? []).map(({ function: f }) => [f.name, JSON.parse(f.arguments)]),
    { finish: choice.finish_reason },
  );

await main({
  async plain(model) {
    const answer = await client.chat.completions.create({ model, messages });
    const [choice] = answer.choices;
    const usage = [answer.usage.completion_tokens];
    return facts([choice.message.content], choice.finish_reason, { usage });
  },
  async stream(model) {
    return streamed(await client.chat.completions.create({ model, messages, stream: true }));
  },
  async stream_usage(model) {
    const stream_options = { include_usage: true };
    return streamed(await client.chat.completions.create({ model, messages, stream: true, stream_options }));
  },
  async helper_stream(model) {
    const stream = client.chat.completions.stream({ model, messages });
    const pieces = [];
    stream.on("content", (piece) => pieces.push(piece));
    const [choice] = (await stream.finalChatCompletion()).choices;
    return facts(pieces, choice.finish_reason, { final: choice.message.content });
  },
  async leave(model) {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    const pieces = [];
    for await (const chunk of stream) {
      pieces.push(chunk.choices[0].delta.content ?? "");
      if (pieces.length === 3) break;
    }
    return facts(pieces);
  },
  async tools(model) {
    const answer = await client.chat.completions.create({ model, messages, tools });
    return callsOf(answer.choices[0]);
  },
  async tool_stream(model) {
    const stream = client.chat.completions.stream({ model, messages, tools });
    return callsOf((await stream.finalChatCompletion()).choices[0]);
  },
  async structured(model) {
    const response_format = zodResponseFormat(z.object({ name: z.string(), age: z.number() }), "person");
    const answer = await client.chat.completions.parse({ model, messages, response_format });
    return { value: answer.choices[0].message.parsed };
  },
  async completions(model) {
    const prompt = QUESTION;
    const pieces = [];
    for await (const chunk of await client.completions.create({ model, prompt, stream: true })) {
      pieces.push(...chunk.choices.map((choice) => choice.text).filter(Boolean));
    }
    const whole = await client.completions.create({ model, prompt });
    return facts(pieces, null, { whole: whole.choices[0].text });
  },
  async responses(model) {
    const whole = await client.responses.create({ model, input: QUESTION });
    const pieces = [];
    let last;
    for await (const event of await client.responses.create({ model, input: QUESTION, stream: true })) {
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
      last = event.type;
    }
    return facts(pieces, last, { whole: whole.output_text });
  },
});
