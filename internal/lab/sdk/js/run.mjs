// Plays one case with the official client, once for each base URL, and prints
// what the client said as JSON: a list of lines for each.
//
//   node run.mjs PACKAGE CASE URL...
//
// The package is the client as package.json names it: one for each major version. The
// credential is in LAB_API_KEY or LAB_AUTH_TOKEN, the number of retries in LAB_RETRIES.
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

  // response notes a response before the SDK had a look, but for the id that the daemon
  // gives to every request.
  response(response) {
    this.add('response', response.status);
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
      const { status, type, errorCode, requestID } = error;
      this.add('  status', status ?? 'none', 'type', type ?? 'none', 'code', errorCode ?? 'none', 'request id', requestID ?? 'none', error.error ?? {});
    }
  }
}

const [library, name, ...bases] = process.argv.slice(2);
const sdk = await import(library);

// client is the SDK as an application makes it, but for a note of each response.
function client(base, report) {
  return new sdk.default({
    baseURL: base,
    apiKey: process.env.LAB_API_KEY ?? null,
    authToken: process.env.LAB_AUTH_TOKEN ?? null,
    maxRetries: Number(process.env.LAB_RETRIES ?? 0),
    // Left to itself, fetch asks for brotli over TLS only
    // (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch), and the way
    // to the daemon is in the clear.
    defaultHeaders: { 'accept-encoding': 'br, gzip, deflate' },
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      report.response(response);
      return response;
    },
  });
}

const { default: play } = await import(`./cases/${name}.mjs`);
const reports = [];
for (const base of bases) {
  const report = new Report(base);
  await report.attempt(() => play(client(base, report), report, sdk));
  reports.push(report.lines);
}
// A case that aborts must be seen to do so before the process ends, which would
// close all connections: the test says when, on standard input.
await text(process.stdin);
process.stdout.write(JSON.stringify(reports), () => process.exit(0));
