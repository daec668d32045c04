import { ask, stream } from '../ask.mjs';

export default async function (client, report) {
  await report.attempt(() => client.messages.create(ask('cut-mid-stream')));
  await report.attempt(() => stream(client, report, ask('cut-mid-stream')));
  report.add('end');
}
