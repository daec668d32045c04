// The model calls a tool, gets its result, and ends the conversation.
import { ask, stream } from '../ask.mjs';

export default async function (client, report) {
  const params = ask('claude-sonnet-4-5');
  params.tools = [{ name: 'take_note', input_schema: { type: 'object', properties: { note: { type: 'string' } } } }];
  const { content } = await stream(client, report, params);
  const results = content
    .filter((block) => block.type === 'tool_use')
    .map((block) => ({ type: 'tool_result', tool_use_id: block.id, content: 'noted' }));
  params.messages.push({ role: 'assistant', content }, { role: 'user', content: results });
  await stream(client, report, params);
}
