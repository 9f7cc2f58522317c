-- An operator lets a backend be tried now: {unblocked, for how many ms it was still blocked, and its breaker open}
-- Nothing is let loose: one call goes first, and the others when it was answered, as after any block.
local blocked, open = unpack(redis.call('HMGET', GATE, 'blocked', 'open'))
local blocked_ms = math.max(0, tonumber(blocked or 0) - now)
local open_ms = math.max(0, tonumber(open or 0) - now)
if blocked_ms > 0 then
  redis.call('HSET', GATE, 'blocked', whole(now), 'due', 1)
  redis.call('HDEL', GATE, 'first', 'streak')
end
if open_ms > 0 then
  redis.call('HSET', GATE, 'open', whole(now))
  redis.call('HDEL', GATE, 'probe')
end
return {'unblocked', blocked_ms, open_ms}
