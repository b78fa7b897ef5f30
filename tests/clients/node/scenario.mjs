// What every client program in JavaScript is; programs/scenario.py tells how it is called and what it prints.

const given = JSON.parse(process.argv[2]);

export const URL = given.url;
export const KEY = given.key;
export const QUESTION = "Say hi.";

/** What is told of one text: itself, in how many pieces it came, how it ended. */
export const facts = (pieces, finish = null, more = {}) => ({
  text: pieces.join(""),
  pieces: pieces.length,
  finish,
  ...more,
});

/** What is told of calls of tools: [name, arguments] each. */
export const called = (calls, more = {}) => ({
  calls: calls.map(([name, given]) => ({ name, arguments: given })),
  ...more,
});

/** The names of an error's classes, and of those of its causes. */
const kinds = (error) => {
  const names = [`status ${error?.status ?? error?.statusCode}`];
  for (let kind = error; kind && kind !== Object.prototype; kind = Object.getPrototypeOf(kind)) {
    names.push(kind.constructor.name, ...(Object.hasOwn(kind, "name") ? [kind.name] : []));
  }
  return error?.cause ? [...names, ...kinds(error.cause)] : names;
};

/** Run what is asked for, in that order. */
export const main = async (scenarios) => {
  for (const { scenario, model } of given.asks) {
    const line = {};
    try {
      line.facts = await scenarios[scenario](model);
    } catch (error) {
      line.raised = kinds(error);
      line.says = String(error?.message);
      line.traceback = String(error?.stack);
    }
    console.log(JSON.stringify(line));
  }
};
