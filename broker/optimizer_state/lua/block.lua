-- Let no call start for a while, because the backend said so; after that one goes first: {blocked, until}
-- ARGV: for_ms, reason
local before, until_ms = tonumber(redis.call('HGET', GATE, 'blocked') or 0), now + tonumber(ARGV[1])
redis.call('HSET', GATE, 'due', 1)
redis.call('HDEL', GATE, 'first')
if until_ms <= before then return {'blocked', before} end
redis.call('HSET', GATE, 'blocked', whole(until_ms), 'reason', ARGV[2])
return {'blocked', until_ms}
