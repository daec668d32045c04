// ask is an ordinary request to a model.
export function ask(model) {
  return {
    model,
    max_tokens: 1024,
    messages: [{ role: 'user', content: 'Grüß Gott, <world> & "all"!' }],
  };
}

// stream notes every event and what they add up to.
export async function stream(client, report, params) {
  const events = client.messages.stream(params);
  for await (const event of events) report.add('event', event);
  const whole = await events.finalMessage();
  report.add('whole', whole);
  return whole;
}
