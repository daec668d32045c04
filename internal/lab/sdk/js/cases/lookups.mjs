// Tokens are counted, and models listed and looked up, one of them not there and
// with a name that has to be escaped.
import { ask } from '../ask.mjs';

export default async function (client, report) {
  const { model, messages } = ask('claude-sonnet-4-5');
  report.add('count', await client.messages.countTokens({ model, messages }));
  for await (const listed of client.models.list({ limit: 2 })) report.add('listed', listed);
  report.add('got', await client.models.retrieve('claude-haiku-4-5-20251001'));
  await report.attempt(() => client.models.retrieve('ä/b c?;{d}'));
}
