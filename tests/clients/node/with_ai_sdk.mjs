// The AI SDK: `@ai-sdk/openai-compatible`, `@ai-sdk/openai` with its default (Responses), and the latter's `.chat()`.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { KEY, QUESTION, URL, called, facts, main } from "./scenario.mjs";

const openai = createOpenAI({ baseURL: URL, apiKey: KEY });
const compatible = createOpenAICompatible({ name: "trunkline", baseURL: URL, apiKey: KEY });
const prompt = QUESTION;
const person = z.object({ name: z.string(), age: z.number() });
const tools = {
  get_weather: tool({
    description: "The weather of a city.",
    inputSchema: z.object({ city: z.string(), days: z.number().int() }),
    execute: async ({ city, days }) => `rain in ${city} for ${days} days`,
  }),
};

/** The facts of a stream; the SDK puts errors into it, where nobody sees them who reads the text only. */
const streamed = async (model) => {
  const pieces = [];
  const thoughts = [];
  const result = streamText({ model, prompt, onError: () => {} });
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") pieces.push(part.text);
    if (part.type === "reasoning-delta") thoughts.push(part.text);
  }
  const { outputTokens } = await result.usage;
  const usage = outputTokens === undefined ? [] : [outputTokens];
  return facts(pieces, await result.finishReason, { thoughts: thoughts.join(""), usage });
};

const callsOf = (steps, text) =>
  called(
    steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])),
    { text },
  );

await main({
  async plain(model) {
    const answer = await generateText({ model: compatible(model), prompt });
    return facts([answer.text], answer.finishReason, { usage: [answer.usage.outputTokens] });
  },
  stream: (model) => streamed(compatible(model)),
  stream_usage: (model) =>
    streamed(createOpenAICompatible({ name: "t", baseURL: URL, apiKey: KEY, includeUsage: true })(model)),
  openai_chat: (model) => streamed(openai.chat(model)),
  responses: (model) => streamed(openai(model)),
  async leave(model) {
    const aborted = new AbortController();
    const pieces = [];
    for await (const piece of streamText({
      model: compatible(model),
      prompt,
      abortSignal: aborted.signal,
    }).textStream) {
      pieces.push(piece);
      if (pieces.length === 3) {
        aborted.abort();
        break;
      }
    }
    return facts(pieces);
  },
  async tools(model) {
    const answer = await generateText({ model: compatible(model), prompt, tools, stopWhen: isStepCount(3) });
    return callsOf(answer.steps, answer.text);
  },
  async tool_stream(model) {
    const options = { tools, stopWhen: isStepCount(3), onError: () => {} };
    const result = streamText({ model: compatible(model), prompt, ...options });
    for await (const part of result.fullStream) if (part.type === "error") throw part.error;
    return callsOf(await result.steps, await result.text);
  },
  async structured(model) {
    const output = Output.object({ schema: person });
    return { value: (await generateText({ model: compatible(model), prompt, output })).output };
  },
});
