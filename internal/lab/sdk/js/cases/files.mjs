// More is uploaded than a proxy would buffer, and looked up.
export default async function (client, report, { toFile }) {
  const content = Buffer.alloc(3 << 20, '\x00\r\n\xffupload', 'latin1');
  const file = await client.beta.files.upload({
    file: await toFile(content, 'a "note".bin', { type: 'application/x-note' }),
    betas: ['files-api-2025-04-14'],
  });
  const untimed = (value) => JSON.stringify(value).replaceAll(file.created_at, 'NOW');
  report.add('uploaded', untimed(file));
  report.add('looked up', untimed(await client.beta.files.retrieveMetadata(file.id)));
  for await (const listed of client.beta.files.list()) report.add('listed', untimed(listed));
}
