import { ask, stream } from '../ask.mjs';

export default async function (client, report) {
  for (const status of [400, 401, 403, 404, 413, 429, 500, 529]) {
    await report.attempt(() => client.messages.create(ask(`error-${status}`)));
  }
  await report.attempt(() => stream(client, report, ask('error-429')));
  await report.attempt(() => stream(client, report, ask('error-mid-stream')));
}
