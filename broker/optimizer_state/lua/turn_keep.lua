-- The call of a request runs; a server that has forgotten who has the turn is told so: {kept, 0/1}
-- ARGV: name, deadline
local name, deadline = unpack(ARGV)
if HOLDER or mark_of(name) or tonumber(deadline) < now then return {'kept', 0} end
redis.call('HSET', TURN, 'h', name, 'u', deadline + GRACE_MS, 'p', 0)
redis.call('ZREM', LINE, name)
keep_until(deadline)
return {'kept', 1}
