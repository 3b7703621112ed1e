-- One quota, shared by all replicas: its bucket (GCRA), the adaptive limit, its pause, which replica has the next token, and which
-- replicas are there. Times are whole microseconds of this server's clock, so that no replica's clock matters.
--
-- KEYS[1] the quota, a string of JSON   ARGV[1] the request; it and the answer are described in protocol.go.
-- A run takes one GET, one SET and one TIME, and an INFO where the request says so.
local key, request = KEYS[1], cjson.decode(ARGV[1])
local id = request.replica

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local numbers = {'born', 'at', 'full', 'every', 'burst', 'generation', 'until', 'limit_generation', 'learned_at', 'virtual'}
local fields = {'acked', 'lease', 'tag', 'weight', 'calls', 'reserve', 'due'}

-- read returns the state, or nothing where a value is not one that this script wrote.
local function read()
  local text = redis.pcall('GET', key)
  if type(text) ~= 'string' then return end
  local ok, q = pcall(cjson.decode, text)
  if not ok or type(q) ~= 'table' or type(q.members) ~= 'table' then return end
  local function whole(t, names)
    for _, name in ipairs(names) do
      local n = tonumber(t[name])
      if not n or n ~= n or n < 0 or n > 9e15 then return end
      t[name] = n
    end
    return true
  end
  for _, name in ipairs({'run', 'state', 'prober', 'learned'}) do
    if type(q[name]) ~= 'string' then return end
  end
  if not whole(q, numbers) or q.every < 1 then return end
  if q.state ~= 'open' and q.state ~= 'shut' and q.state ~= 'probing' then return end
  for _, m in pairs(q.members) do
    if type(m) ~= 'table' or not whole(m, fields) or m.weight < 1 then return end
  end
  return q
end

-- A state that this very server process did not write, or wrote in its own future, does not say what was spent: an empty bucket.
local q, run = read(), nil
if not q or request.check then run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
if not q or run and q.run ~= run or now < q.at - 1000000 or q.full > q.at + q.burst + q.every then
  redis.call('DEL', key)
  q = {
    run = run or '', born = now, at = now, full = now + request.burst, every = request.every, burst = request.burst,
    generation = now, state = 'open', ['until'] = 0, prober = '', limit_generation = 0, learned = '', learned_at = 0,
    virtual = 0, members = {},
  }
end
now = math.max(now, q.at)
q['until'] = math.min(q['until'], now + request.max_pause)

local members = q.members
-- A newcomer counts as cut off until it reports a reply that it got: it cannot know that its request arrived.
local me = members[id] or {acked = 0, lease = request.lease, tag = 0, weight = 1, calls = 0, reserve = 0, due = 0}
me.acked = math.max(me.acked, request.last_reply > 0 and request.last_reply <= now and request.last_reply or now - request.lease - 1)
me.lease = request.lease
members[id] = me
local function live(m) return m.acked + m.lease >= now end

-- A replica whose lease has passed goes on alone, at its share of the rate. That share is taken from the bucket.
local there, alone = 0, 0
for name, m in pairs(members) do
  if live(m) then
    there = there + 1
  elseif m.acked + request.forget < now and name ~= id then
    members[name] = nil
  else
    alone = alone + now - math.max(q.at, m.acked + m.lease)
  end
end
local missing = math.max(request.replicas - there, 0)
alone = math.min(alone, missing * (now - q.at))
if q.at < q.born + request.settling then -- others may not have come back yet
  alone = math.max(alone, missing * (math.min(now, q.born + request.settling) - q.at))
end
q.full = math.min(math.max(q.full, q.at) + math.ceil(alone / request.replicas), now + q.burst)
q.at = now

if request.returned > 0 then
  q.full = q.full - request.returned * q.every
  if q.prober == id then q.state, q.prober = 'shut', '' end
end

for _, e in ipairs(request.events) do
  local current = e.generation == q.generation
  if e.kind == 'learned' then
    -- It counts only from a replica that knows the value before it, so that one overload is learned once. A reset always counts.
    if e.learned ~= '' and request.limit_generation == q.limit_generation or e.learned == '' and q.learned ~= '' then
      q.limit_generation, q.learned, q.learned_at = math.max(now, q.limit_generation + 1), e.learned, now - e.age
      request.limit_generation = q.limit_generation
    end
  elseif e.kind == 'hold' and (q.state == 'open' or q['until'] + 100000 < now + e.remaining) or e.kind == 'throttled' and current then
    q.generation, q.state, q.prober = math.max(now, q.generation + 1), 'shut', ''
    q['until'] = now + math.min(e.remaining, request.max_pause)
    q.full = now + q.burst
  elseif e.kind == 'lowered' then
    q.full = math.max(q.full, now + math.ceil(q.burst - e.level * q.every))
  elseif e.kind == 'answered' and current then
    q.state, q.prober = 'open', ''
  elseif e.kind == 'unsure' and current and q.prober == id then
    q.state, q.prober = 'shut', ''
  elseif e.kind == 'resume' and current and q.state == 'shut' then
    q['until'] = now
  end
end
local lost = q.prober == id and request.probing == false -- the answer that made it the prober, or Roam's while it was cut off
if q.state == 'probing' and (lost or not members[q.prober] or not live(members[q.prober])) then
  q.state, q.prober = 'shut', '' -- it died, or cannot tell
end

-- Other numbers: the calls that are left stay. A replica that does not know what was learned last knows no numbers.
if request.limit_generation == q.limit_generation and (request.every ~= q.every or request.burst ~= q.burst) then
  local left = (q.burst - math.max(q.full - now, 0)) / q.every
  q.every, q.burst = request.every, request.burst
  q.full = now + math.max(math.ceil(q.burst - left * q.every), 0)
end

-- Start-time fair queueing between replicas, each with the weights of the tools that wait there. One that does not come for its
-- token at the time in its reply loses its place until it does. As within a replica, batch tools leave a reserve until they are late.
local function waits(m) return m.calls > 0 and now <= m.due + request.late end
local function late(m) return q.virtual - m.tag >= m.reserve / q.every end
local function wait_for_token() -- returns how long until there is a token for this replica
  local before = 0
  for name, m in pairs(members) do
    local first = m.tag < me.tag or m.tag == me.tag and name < id
    if name ~= id and first and waits(m) and (m.reserve == 0 or late(m)) then
      before = before + math.min(math.floor((me.tag - m.tag) * m.weight) + 1, m.calls)
    end
  end
  local keep = request.margin + (late(me) and 0 or me.reserve)
  local wait = math.max(math.max(q.full, now) + (before + 1) * q.every + keep - q.burst - now, 0)
  me.due = now + wait
  return math.ceil(wait)
end

local wait, following = 0, 0
if request.calls == 0 then
  me.calls = 0
elseif request.calls > 0 then
  if not waits(me) then me.tag = math.max(me.tag, q.virtual) end
  me.calls, me.weight, me.reserve = request.calls, math.max(request.weight, 1), request.reserve
  if q.state == 'probing' or q.state == 'shut' and not live(me) then
    wait = 100000
  elseif q.state == 'shut' and now < q['until'] then
    wait = q['until'] - now
    me.due = q['until']
  else
    wait = wait_for_token()
    if wait == 0 then
      q.virtual = math.max(q.virtual, me.tag)
      q.full, me.tag, me.calls = math.max(q.full, now) + q.every, me.tag + 1 / me.weight, me.calls - 1
      if q.state == 'shut' then
        q.state, q.prober = 'probing', id
      elseif me.calls > 0 then
        following = wait_for_token()
      end
    end
  end
end
if request.bye then members[id] = nil end

local others = 0
for name, m in pairs(members) do
  if name ~= id and waits(m) then others = others + m.weight end
end
local function text(t, names)
  for _, name in ipairs(names) do t[name] = string.format(name == 'tag' and '%.9f' or name == 'virtual' and '%.9f' or '%.0f', t[name]) end
end
local answer = {
  wait = wait, next = following, now = now, born = q.born, full = math.max(q.full - now, 0), every = q.every, burst = q.burst,
  generation = q.generation, remaining = math.max(q['until'] - now, 0), limit_generation = q.limit_generation,
  age = now - q.learned_at, others = others, live = there,
}
text(answer, {
  'wait', 'next', 'now', 'born', 'full', 'every', 'burst', 'generation', 'remaining', 'limit_generation', 'age', 'others', 'live',
})
answer.state, answer.mine, answer.learned = q.state, q.prober == id, q.learned
for _, m in pairs(members) do text(m, fields) end
text(q, numbers)
redis.call('SET', key, cjson.encode(q), 'PX', 86400000)
return cjson.encode(answer)
