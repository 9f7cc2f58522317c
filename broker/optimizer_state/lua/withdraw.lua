-- A request is no longer wanted unless its call has begun: {withdrawn, waiters that remain} | {begun}
-- ARGV: id, waiter, keep_ms
local id, waiter, keep_ms = unpack(ARGV)
local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'l')
-- A later dispatch means that an earlier one began.
if f[1] and (f[2] ~= '1' or (f[3] and tonumber(f[4]) >= now)) then return {'begun'} end
local mark = redis.call('GET', id_key(id))
if mark and redis.call('EXISTS', done_key(mark)) == 1 then return {'begun'} end
redis.call('HDEL', FLIGHT, field_of(id, waiter))
redis.call('SET', id_key(id), 'cancelled', 'PX', keep_ms)
local remain = f[1] and #waiters(FLIGHT) or 0
if remain == 0 then redis.call('DEL', FLIGHT) end
return {'withdrawn', remain}
