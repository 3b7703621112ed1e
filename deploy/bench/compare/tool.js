// Tools of one job, in one process. The only argument is JSON, written by tools.go. The process prints a line when it is ready,
// begins when its input ends, and prints its counts as JSON. All programs are compared with this one client: a 429 is repeated
// after its Retry-After, an answer of 5xx or a broken one up to three times, with exponential backoff and full jitter.
'use strict';

const {randomUUID} = require('node:crypto');

const options = JSON.parse(process.argv[2]);
const milliseconds = (seconds) => 1000 * seconds / options.speed; // of Roam's time in ours
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const backoff = (repeats) => Math.random() * milliseconds(Math.min(60, 2 ** repeats));

// attempt sends a call once. The status is 0 if no complete answer came.
async function attempt(method, target, headers, body) {
  try {
    const answer = await fetch(options.base + target, {method, headers, body, signal: AbortSignal.timeout(milliseconds(options.timeout))});
    return {status: answer.status, text: await answer.text(), retryAfter: Number(answer.headers.get('retry-after') ?? 0)};
  } catch {
    return {status: 0, retryAfter: 0};
  }
}

let schedule = (send) => send();
if (options.bottleneck) {
  const Bottleneck = require('bottleneck');
  const limiter = new Bottleneck({
    maxConcurrent: 10, reservoir: 10,
    reservoirIncreaseAmount: 1, reservoirIncreaseInterval: milliseconds(1), reservoirIncreaseMaximum: 10,
    heartbeatInterval: milliseconds(0.25), // bottleneck's own value; it looks at the reservoir so often
  });
  schedule = (send) => limiter.schedule(send);
}

class Tool {
  constructor(n) {
    this.n = n;
    this.asked = 0;
    this.longest = 0; // wait for the success of a call, in ms
    this.failed = []; // bodies of calls that were given up
  }

  async call(method, target, body) {
    this.asked++;
    const begun = performance.now();
    const headers = {authorization: 'Bearer ' + options.tokens[this.n]};
    if (body) headers['content-type'] = 'application/json';
    if (body && options.idempotent) headers['idempotency-key'] = randomUUID();
    for (let refused = 0, failures = 0; ;) {
      const answer = await schedule(() => attempt(method, target, headers, body && JSON.stringify(body)));
      if (answer.status >= 200 && answer.status < 300) {
        this.longest = Math.max(this.longest, performance.now() - begun);
        return JSON.parse(answer.text);
      }
      if (answer.status === 429) {
        await sleep(1000 * answer.retryAfter + backoff(refused++));
      } else if ((answer.status === 0 || answer.status >= 500) && failures < 3) {
        await sleep(Math.max(1000 * answer.retryAfter, backoff(failures++)));
      } else {
        throw new Error(`${method} ${target}: ${answer.status} ${answer.text}`);
      }
    }
  }

  get(target) { return this.call('GET', target); }

  post(chat, text) { return this.call('POST', '/v1/chat.post', {chatId: chat, text}); }

  // walk reads a whole list page by page, and returns the ids in it.
  async walk(target, list) {
    const ids = [];
    for (let cursor = ''; ;) {
      const page = await this.get(`${target}?cursor=${cursor}`);
      for (const item of page[list]) ids.push(item.id ?? item.meetingId);
      if (!page.nextCursor) return ids;
      cursor = page.nextCursor;
    }
  }
}

// The first five are those of TestJobs in proxy/jobs_test.go, call for call.
const jobs = {
  async 'stand-up'(tool) {
    await tool.get('/v1/token.info');
    await tool.get('/v1/groups.list');
    const users = await tool.walk('/v1/user.list', 'users');
    for (let i = 0; i < 8; i++) {
      await tool.get('/v1/user.info?id=' + users[i]);
      await tool.post(`C-${tool.n}`, 'stand-up');
      await tool.get(`/v1/chat.history?chatId=C-${tool.n}`);
    }
  },

  async 'transcript-export'(tool) {
    await tool.walk('/v1/user.list', 'users');
    const meetings = await tool.walk('/v1/meeting.list', 'meetings');
    for (const id of meetings.slice(0, 40)) await tool.get('/v1/meeting.transcript?meetingId=' + id);
  },

  async dashboards(tool) {
    for (let i = 0; i < 12; i++) {
      const next = performance.now() + milliseconds(5);
      for (const target of ['/v1/groups.list', '/v1/user.list?expand=status', '/v1/meeting.list', '/v1/chat.history?chatId=C-1']) {
        await tool.get(target);
      }
      await sleep(next - performance.now());
    }
  },

  async 'scim-sync'(tool) {
    const ids = [];
    for (let start = 1; start <= 253; start += 100) {
      const page = await tool.get(`/scim/v2/Users?startIndex=${start}&count=100`);
      ids.push(...page.Resources.map((user) => user.id));
    }
    for (const id of ids.slice(0, 30)) await tool.get('/scim/v2/Users/' + id);
  },

  async agents(tool) {
    const chatId = `C-${tool.n}`;
    await tool.get('/v1/token.info');
    await tool.get('/v1/chat.history?chatId=' + chatId);
    await tool.get('/v1/user.list');
    const {timestamp} = await tool.call('POST', '/v1/chat.startStream', {chatId, text: '…'});
    const typing = [];
    const pulse = setInterval(() => typing.push(tool.call('POST', '/v1/chat.typing', {chatId})), milliseconds(2));
    for (const end = performance.now() + milliseconds(20); performance.now() < end;) {
      await tool.call('POST', '/v1/chat.appendStream', {chatId, timestamp, text: 'more'});
    }
    clearInterval(pulse);
    await tool.call('POST', '/v1/chat.stopStream', {chatId, timestamp, text: '.'});
    await Promise.all(typing);
  },

  // The first tool wants to write everything at once. The second writes every four seconds, and begins when the first has begun.
  async flood(tool) {
    if (tool.n === 0) {
      await Promise.all(Array.from({length: options.flood}, (_, i) => tool.post('C-0', `flood ${i}`)));
      return;
    }
    for (let i = 0; i < 10; i++) {
      await sleep(milliseconds(4));
      await tool.post('C-1', `calm ${i}`);
    }
  },

  // Each message meets the fault that it begins with, once. It is given up after three repeats.
  async faults(tool) {
    await Promise.all(options.messages.map((text) => tool.post('C-0', text).catch(() => tool.failed.push(text))));
  },
};

const begin = async () => {
  const start = performance.now();
  const seconds = (ms) => ms * options.speed / 1000; // of Roam's time
  const counts = await Promise.all(options.tools.map(async (n) => {
    const tool = new Tool(n);
    await jobs[options.job](tool);
    return {asked: tool.asked, failed: tool.failed, longest: seconds(tool.longest), took: seconds(performance.now() - start)};
  }));
  console.log(JSON.stringify(counts));
  process.exit(0); // bottleneck and open connections would keep the process
};

process.stdin.resume().on('end', () => begin().catch((err) => {
  console.error(err);
  process.exit(1);
}));
fetch('data:,').then(() => console.log('ready')); // the first fetch compiles the client, which takes longer than a call
