-- One quota, shared by all replicas: its bucket (GCRA), what was learned about it, its pause, who waits for the next token, and
-- who is there. Every time is in whole microseconds of this server's clock, so that no replica's clock matters.
--
-- KEYS[1] the quota, a hash   ARGV[1] the question; it and the answer are described in question.go.
local key, ask = KEYS[1], cjson.decode(ARGV[1])
local id, lease = ask.replica, ask.lease

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local run = 'run ' .. string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')

local q, members = {}, {}
local kept = redis.call('HGETALL', key)
for i = 1, #kept, 2 do
  local who = string.match(kept[i], '^replica:(.*)$')
  if who then
    local a, ticket, due = string.match(kept[i + 1], '^(%d+) (%d+) (%d+)$')
    members[who] = {acked = tonumber(a), ticket = tonumber(ticket), due = tonumber(due)}
  else
    q[kept[i]] = tonumber(kept[i + 1]) or kept[i + 1]
  end
end

-- What this very server process did not write, or wrote in its own future, says nothing about what was spent: an empty bucket.
if q.run ~= run or now < q.at - 1000000 then
  redis.call('DEL', key)
  q = {
    run = run, born = now, at = now, full = now + ask.burst, every = ask.every, burst = ask.burst, emptied = 0, ticket = 0,
    gen = now, state = 'open', ['until'] = 0, prober = '', lesson = 0, learned = '', taught = 0,
  }
  members = {}
end
now = math.max(now, q.at)

-- A lesson counts only from who knew the one before, so that the refusals of one moment teach once. Anybody may have it forgotten.
local news = ask.learned ~= '' and ask.lesson == q.lesson or ask.learned == '' and q.learned ~= ''
if ask.teaches and news then
  q.lesson, q.learned, q.taught = math.max(now, q.lesson + 1), ask.learned, now - ask.age
  ask.lesson = q.lesson
end

-- Other numbers: the calls that are left stay. Who does not know what was learned last knows no numbers.
if ask.lesson == q.lesson and (ask.every ~= q.every or ask.burst ~= q.burst) then
  local left = (q.burst - math.max(q.full - now, 0)) / q.every
  q.every, q.burst = ask.every, ask.burst
  q.full = now + math.max(math.ceil(q.burst - left * q.every), 0)
end

-- A newcomer counts as cut off until it says that it was heard: it cannot know that it was.
local me = members[id] or {acked = 0, ticket = 0, due = 0}
me.acked = math.max(me.acked, ask.heard > 0 and ask.heard or now - lease - 1)
members[id] = me

-- Who was not heard for a lease goes on alone, at its share of the rate, and that share is taken from the bucket.
local live, alone = 0, 0
for who, m in pairs(members) do
  if m.acked + lease >= now then
    live = live + 1
  elseif m.acked + ask.forget < now and who ~= id then
    members[who] = nil
    redis.call('HDEL', key, 'replica:' .. who)
  else
    alone = alone + now - math.max(q.at, m.acked + lease)
  end
end
local missing = math.max(ask.replicas - live, 0)
alone = math.min(alone, missing * (now - q.at))
if q.at < q.born + ask.settling then -- others may not have come back yet
  alone = math.max(alone, missing * (math.min(now, q.born + ask.settling) - q.at))
end
q.full = math.max(q.full, q.at) + math.ceil(alone / ask.replicas)
q.at = now

if ask.returned > 0 then
  q.full = q.full - ask.returned * q.every
  if q.prober == id then q.state, q.prober = 'shut', '' end
end
if q.full <= now then q.emptied = 0 end

-- The pause. Words about another generation than the present one come too late.
local word, known = ask.word, ask.generation == q.gen
if word == 'hold' and (q.state == 'open' or q['until'] + 100000 < now + ask.quiet) or word == 'throttled' and known then
  q.gen, q.state, q['until'], q.prober = math.max(now, q.gen + 1), 'shut', now + ask.quiet, ''
  q.full, q.emptied = now + q.burst, now
elseif word == 'answered' and known then
  q.state, q.prober = 'open', ''
elseif word == 'unsure' and known and q.prober == id then
  q.state, q.prober = 'shut', ''
elseif word == 'resume' and known and q.state == 'shut' then
  q['until'] = now
end
local lost = q.prober == id and ask.probing == false -- the answer that made it one, or Roam's word while it was cut off
if q.state == 'probing' and (lost or not members[q.prober] or members[q.prober].acked + lease < now) then
  q.state, q.prober = 'shut', '' -- it died, or cannot tell
end

-- A token goes to whoever has waited longest; who does not come for it when told loses his place to the next until he does.
local function turn() -- takes a place, and says how long until the token for it is there
  if me.ticket == 0 then
    q.ticket = q.ticket + 1
    me.ticket = q.ticket
  end
  local before = 0
  for _, m in pairs(members) do
    if m.ticket > 0 and m.ticket < me.ticket and now <= m.due + ask.late then before = before + 1 end
  end
  local wait = math.max(math.max(q.full, now) + (before + 1) * q.every - q.burst - now, 0)
  me.due = now + wait
  return wait
end

local wait, following = 0, 0
if not ask.wants then
  if ask.waiting == 0 then me.ticket = 0 end -- they left
elseif q.state == 'probing' or q.state == 'shut' and me.acked + lease < now then
  wait = 100000
elseif q.state == 'shut' and now < q['until'] then
  wait = q['until'] - now
else
  wait = turn()
  if wait == 0 then
    me.ticket = 0
    q.full = math.max(q.full, now) + q.every
    if q.state == 'shut' then
      q.state, q.prober = 'probing', id
    elseif ask.waiting > 1 then
      following = turn()
    end
  end
end

if word == 'bye' then
  members[id] = nil
  redis.call('HDEL', key, 'replica:' .. id)
end
local write = {}
for name, value in pairs(q) do
  write[#write + 1] = name
  write[#write + 1] = type(value) == 'number' and string.format('%.0f', value) or value
end
if members[id] then
  write[#write + 1] = 'replica:' .. id
  write[#write + 1] = string.format('%.0f %.0f %.0f', me.acked, me.ticket, me.due)
end
redis.call('HSET', key, unpack(write))
redis.call('PEXPIRE', key, 86400000)

local others = 0
for who, m in pairs(members) do
  if who ~= id and m.ticket > 0 and now <= m.due + ask.late then others = others + 1 end
end
local says = {
  wait = wait, next = following, now = now, born = q.born, full = math.max(q.full - now, 0), every = q.every, burst = q.burst,
  emptied = q.emptied > 0 and now - q.emptied or -1, generation = q.gen, quiet = math.max(q['until'] - now, 0),
  lesson = q.lesson, age = now - q.taught, others = others, live = live,
}
for name, value in pairs(says) do says[name] = string.format('%.0f', value) end
says.state, says.mine, says.learned = q.state, q.prober == id, q.learned
return cjson.encode(says)
