// The client leaves after the second delta of a response that never ends: both came while
// it was unfinished.
import { ask } from '../ask.mjs';

export default async function (client, report) {
  const events = await client.messages.create({ ...ask('stall'), stream: true });
  let deltas = 0;
  for await (const event of events) {
    report.add('event', event);
    if (event.type === 'content_block_delta' && ++deltas === 2) events.controller.abort();
  }
  report.add('aborted:', events.controller.signal.aborted);
}
