// Plays one case with the official client, once for each base URL, and prints
// what the client said as JSON: a list of lines for each.
//
//   node run.mjs CASE URL...
//
// The credential is in LAB_API_KEY or LAB_AUTH_TOKEN.
import Anthropic from '@anthropic-ai/sdk';
import { text } from 'node:stream/consumers';

// Report is what a client said and got, line by line.
class Report {
  lines = [];

  constructor(base) {
    this.base = base;
  }

  add(...words) {
    const line = words.map((w) => (typeof w === 'string' ? w : JSON.stringify(w))).join(' ');
    this.lines.push(line.replaceAll(this.base, 'BASE'));
  }

  // answer notes a response before the SDK had a look, but for the id that the
  // daemon gives to every request.
  answer(response) {
    this.add('answer', response.status);
    for (const [name, value] of response.headers) {
      if (name !== 'x-request-id') this.add(' ', `${name}: ${value}`);
    }
  }

  // attempt notes the error of what is tried, with all that the SDK knows of it.
  async attempt(play) {
    try {
      return await play();
    } catch (error) {
      this.add('failed:', error.constructor.name, error.message);
      this.add('  status', error.status ?? 'none', 'type', error.type ?? 'none', 'request id', error.requestID ?? 'none', error.error ?? {});
    }
  }
}

// client is the SDK as an application makes it, but for a note of each answer.
function client(base, report) {
  return new Anthropic({
    baseURL: base,
    apiKey: process.env.LAB_API_KEY ?? null,
    authToken: process.env.LAB_AUTH_TOKEN ?? null,
    maxRetries: 0,
    // Left to itself, fetch asks for brotli over TLS only
    // (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch), and the way
    // to the daemon is in the clear.
    defaultHeaders: { 'accept-encoding': 'br, gzip, deflate' },
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      report.answer(response);
      return response;
    },
  });
}

const [name, ...bases] = process.argv.slice(2);
const { default: play } = await import(`./cases/${name}.mjs`);
const reports = [];
for (const base of bases) {
  const report = new Report(base);
  await report.attempt(() => play(client(base, report), report));
  reports.push(report.lines);
}
// A case that aborts must be seen to do so before the process ends, which would
// close all connections: whoever started it says when.
await text(process.stdin);
process.stdout.write(JSON.stringify(reports), () => process.exit(0));
