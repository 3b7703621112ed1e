-- One quota, shared by all replicas: its bucket (GCRA), its pause, who waits for the next token, and who is there.
-- Every time is in whole microseconds of this server's clock, so that no replica's clock matters.
--
-- KEYS[1]  the quota, a hash
-- ARGV     1 the replica  2 when it was last heard, as this server told it; 0: never  3 wants a token  4 tokens it gives back
--          5 microseconds a token  6 the burst in microseconds  7 replicas that share  8 lease  9 settling  10 late  11 forget
--          12 a word about the pause, or ''  13 the generation that the word is about  14 microseconds of quiet
local key, id = KEYS[1], ARGV[1]
local acked, wants, returned = tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local every, burst, replicas = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lease, settling, late, forget = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local word, about, quiet = ARGV[12], tonumber(ARGV[13]), tonumber(ARGV[14])

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
  q = {run = run, born = now, at = now, full = now + burst, every = every, ticket = 0, gen = now, state = 'open', ['until'] = 0, prober = ''}
  members = {}
end
now = math.max(now, q.at)
if q.every ~= every then -- another rate: what is owed is owed in calls
  q.full = now + math.ceil(math.max(q.full - now, 0) * every / q.every)
  q.every = every
end

-- A newcomer counts as cut off until it says that it was heard: it cannot know that it was.
local me = members[id] or {acked = 0, ticket = 0, due = 0}
me.acked = math.max(me.acked, acked > 0 and acked or now - lease - 1)
members[id] = me

-- Who was not heard for a lease goes on alone, at its share of the rate, and that share is taken from the bucket.
local live, alone = 0, 0
for who, m in pairs(members) do
  if m.acked + lease >= now then
    live = live + 1
  elseif m.acked + forget < now and who ~= id then
    members[who] = nil
    redis.call('HDEL', key, 'replica:' .. who)
  else
    alone = alone + now - math.max(q.at, m.acked + lease)
  end
end
local missing = math.max(replicas - live, 0)
alone = math.min(alone, missing * (now - q.at))
if q.at < q.born + settling then -- others may not have come back yet
  alone = math.max(alone, missing * (math.min(now, q.born + settling) - q.at))
end
q.full = math.max(q.full, q.at) + math.ceil(alone / replicas)
q.at = now

if returned > 0 then
  q.full = q.full - returned * every
  if q.prober == id then q.state, q.prober = 'shut', '' end
end

-- The pause. Words about another generation than the present one come too late.
if word == 'hold' and (q.state == 'open' or q['until'] + 100000 < now + quiet) or word == 'throttled' and about == q.gen then
  q.gen, q.state, q['until'], q.prober = math.max(now, q.gen + 1), 'shut', now + quiet, ''
  q.full = now + burst
elseif word == 'answered' and about == q.gen then
  q.state, q.prober = 'open', ''
elseif word == 'unsure' and about == q.gen and q.prober == id then
  q.state, q.prober = 'shut', ''
elseif word == 'resume' and about == q.gen and q.state == 'shut' then
  q['until'] = now
end
if q.state == 'probing' and (not members[q.prober] or members[q.prober].acked + lease < now) then
  q.state, q.prober = 'shut', '' -- it died, or cannot tell
end

-- A token goes to whoever has waited longest; who does not come for it when told loses his place to the next until he does.
local wait = 0
if wants then
  if q.state == 'probing' or q.state == 'shut' and me.acked + lease < now then
    wait = 100000
  elseif q.state == 'shut' and now < q['until'] then
    wait = q['until'] - now
  else
    if me.ticket == 0 then
      q.ticket = q.ticket + 1
      me.ticket = q.ticket
    end
    local before = 0
    for who, m in pairs(members) do
      if m.ticket > 0 and m.ticket < me.ticket and now <= m.due + late then before = before + 1 end
    end
    wait = math.max(q.full, now) + (before + 1) * every - burst - now
    if wait <= 0 then
      wait = 0
      q.full = math.max(q.full, now) + every
      me.ticket = 0
      if q.state == 'shut' then q.state, q.prober = 'probing', id end
    else
      me.due = now + wait
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
  if who ~= id and m.ticket > 0 and now <= m.due + late then others = others + 1 end
end
return {wait, math.max(q.full - now, 0), now, q.born, q.gen, q.state, math.max(q['until'] - now, 0), q.prober == id and 1 or 0, others, live}
