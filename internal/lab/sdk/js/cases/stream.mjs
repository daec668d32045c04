import { ask, stream } from '../ask.mjs';

export default async function (client, report) {
  for (const model of ['claude-sonnet-4-5', 'gzip', 'long-2000']) {
    await stream(client, report, ask(model));
  }
}
