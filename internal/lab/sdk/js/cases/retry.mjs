import { ask } from '../ask.mjs';

export default async function (client, report) {
  await client.messages.create(ask('error-529'), { maxRetries: 1 });
}
