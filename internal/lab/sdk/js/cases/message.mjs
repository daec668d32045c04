import { ask } from '../ask.mjs';

export default async function (client, report) {
  for (const model of ['claude-sonnet-4-5', 'gzip']) {
    report.add('message', await client.messages.create(ask(model)));
  }
}
