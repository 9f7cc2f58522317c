-- Put the reply into a mailbox unless one is there: {put, 0/1, the one that is there}
-- ARGV: reply, keep_ms
local reply, keep_ms = unpack(ARGV)
local first = redis.call('HSETNX', box, 'r', reply)
if first == 1 then redis.call('PEXPIRE', box, keep_ms) end
return {'put', first, redis.call('HGET', box, 'r')}
