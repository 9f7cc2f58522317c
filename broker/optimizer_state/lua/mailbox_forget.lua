-- Forget what a tenant submitted: {forgotten, 0/1}
-- ARGV: tenant, until when it was submitted (ms), whether the mailbox is the tenant's (0/1), only count (0/1)
local tenant, until_ms, own, only_count = unpack(ARGV)
local m = redis.call('HMGET', box, 'w', 'r')
local theirs = own == '1'
if m[1] then
  local waiter = cmsgpack.unpack(m[1]).waiter
  theirs = waiter.tenant == tenant and (waiter.since_ms or 0) <= tonumber(until_ms)
end
if not theirs or not (m[1] or m[2]) then return {'forgotten', 0} end
if only_count ~= '1' then redis.call('DEL', box) end
return {'forgotten', 1}
