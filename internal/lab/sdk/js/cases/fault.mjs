// The client asks the model LAB_MODEL for a stream, and does LAB_FAULT wrong: what an SDK
// itself would not do wrong, an application's own fetch does.
import http from 'node:http';
import { Readable } from 'node:stream';
import { ask, stream } from '../ask.mjs';

const faults = {
  'none': {},
  'large header': { headers: { 'x-large': 'a'.repeat(80 << 10) } },
  'upgrade': { send: { headers: { connection: 'upgrade', upgrade: 'websocket' } } },
  'no path': { send: { path: 'mailto:a' } },
  'stalled body': { send: {}, stalls: true },
};

// raw is a fetch that sends what it is told.
function raw(base, report, { send, stalls }) {
  return (url, { method, headers, body }) =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const options = { method, path: pathname + search, ...send };
      options.headers = { ...Object.fromEntries(headers), 'content-length': Buffer.byteLength(body), ...send.headers };
      const request = http.request(base, options, (incoming) => {
        const response = new Response(Readable.toWeb(incoming), { status: incoming.statusCode, headers: incoming.headers });
        report.response(response);
        resolve(response);
      });
      request.on('error', reject);
      if (stalls) request.write(body.slice(0, 10));
      else request.end(body);
    });
}

export default async function (client, report) {
  const { headers, ...fault } = faults[process.env.LAB_FAULT];
  if (headers) client = client.withOptions({ defaultHeaders: headers });
  if (fault.send) client = client.withOptions({ fetch: raw(client.baseURL, report, fault) });
  await report.attempt(() => stream(client, report, ask(process.env.LAB_MODEL)));
}
