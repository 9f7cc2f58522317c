-- A request waits at the gate, or would now be the one that publishes the call of its flight:
--   {wait} | {enter} | {entered}: another copy of it | {published} | {cancelled} | {expired}
-- ARGV: flight, id, enter (0/1)
local flight, id, enter = unpack(ARGV)
local mark = redis.call('GET', id_key(id))
if mark == 'cancelled' or mark == 'expired' then return {mark} end
if redis.call('EXISTS', done_key(flight)) == 1 then return {'published'} end

local f = redis.call('HMGET', FLIGHT, 'f', 'q')
-- Forgotten, or another one: the worker that begins the call will see to it.
if f[1] ~= flight then return {enter == '1' and 'enter' or 'wait'} end
if f[2] == id then return {enter == '1' and 'enter' or 'entered'} end
if f[2] ~= '1' then return {'published'} end
if enter == '0' then return {'wait'} end
redis.call('HSET', FLIGHT, 'q', id)
return {'enter'}
