// A server of MCP with the SDK of modelcontextprotocol.io. It prints its port. Each line on its stdin notifies every session that
// the list of tools has changed. It ends with its stdin.
const http = require('http'), { randomUUID } = require('crypto');
const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = require('@modelcontextprotocol/sdk/server/streamableHttp.js');

const sessions = new Map();

async function open(req, res) {
  const server = new McpServer({ name: 'roam', version: '1.0.0' });
  server.tool('reaction_add', async extra => {
    const token = extra._meta?.progressToken;
    for (const progress of [1, 2]) await extra.sendNotification({ method: 'notifications/progress', params: { progressToken: token, progress } });
    return { content: [{ type: 'text', text: 'added' }] };
  });
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: id => sessions.set(id, { server, transport }) });
  await server.connect(transport);
  await transport.handleRequest(req, res);
}

http.createServer((req, res) => {
  if (!req.url.startsWith('/mcp')) {
    res.setHeader('content-type', 'application/json');
    return req.resume().on('end', () => res.end('{"ok":true}'));
  }
  const known = sessions.get(req.headers['mcp-session-id']);
  (known ? known.transport.handleRequest(req, res) : open(req, res)).catch(e => { console.error(e); res.destroy(); });
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });

process.stdin.on('data', () => sessions.forEach(s => s.server.sendToolListChanged())).on('end', () => process.exit(0));
