// The application compresses its request.
import { gzipSync } from 'node:zlib';
import { ask } from '../ask.mjs';

export default async function (client, report) {
  const zipping = client.withOptions({
    fetch: async (url, { headers, ...init }) => {
      const response = await fetch(url, {
        ...init,
        headers: { ...Object.fromEntries(headers), 'content-encoding': 'gzip' },
        body: gzipSync(init.body),
      });
      report.response(response);
      return response;
    },
  });
  report.add('message', await zipping.messages.create(ask('claude-sonnet-4-5')));
}
