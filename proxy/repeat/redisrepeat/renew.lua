-- KEYS: the write. ARGV: owner, milliseconds that its claim lives.
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
