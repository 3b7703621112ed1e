// A client of MCP with the SDK of modelcontextprotocol.io. Arguments: address, number of sessions, and the milliseconds of silence
// after which fetch gives up on a body (Node's own: 300,000). It prints a line for each thing that happens, and ends with its stdin.
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { ToolListChangedNotificationSchema } = require('@modelcontextprotocol/sdk/types.js');

const [address, sessions, bodyTimeout] = process.argv.slice(2);
const dispatcherKey = Symbol.for('undici.globalDispatcher.1'); // of Node's own fetch

async function session(n) {
  const client = new Client({ name: 'agent', version: '1.0.0' });
  client.onerror = e => console.log('error', e.message);
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => console.log('notified', n));
  await client.connect(new StreamableHTTPClientTransport(new URL(address)));
  const progress = [];
  const result = await client.callTool({ name: 'reaction_add', arguments: { emoji: '+1' } }, undefined, { onprogress: p => progress.push(p.progress) });
  console.log('called', result.content[0].text, 'progress', progress.join(','));
}

(async () => {
  if (bodyTimeout) {
    await fetch(address, { method: 'OPTIONS' }).then(r => r.text()).catch(() => {}); // which makes the dispatcher
    const Agent = globalThis[dispatcherKey].constructor;
    globalThis[dispatcherKey] = new Agent({ bodyTimeout: Number(bodyTimeout) });
  }
  for (let n = 0; n < Number(sessions); n++) await session(n);
  console.log('connected');
  process.stdin.on('end', () => process.exit(0)).resume();
})().catch(e => { console.error(e); process.exit(1); });
