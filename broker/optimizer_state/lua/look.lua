-- Everything about a budget, changing nothing: {is the worker known (0/1), now, settings, gate, failures and when, how
--   many calls are in flight, flying, then for each limit its window}; hashes are lists of name, value, …
-- ARGV: worker, limit…
local seen = {
  redis.call('HEXISTS', KNOWN, ARGV[1]),
  now,
  redis.call('HGETALL', SETTINGS),
  redis.call('HGETALL', GATE),
  redis.call('ZRANGE', FAILURES, 0, -1, 'WITHSCORES'),
  redis.call('ZCARD', LEASES),
  redis.call('HGETALL', FLYING),
}
for i = 2, #ARGV do seen[#seen + 1] = redis.call('HGETALL', window_key(ARGV[i])) end
return seen
