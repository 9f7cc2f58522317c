-- A request is no longer wanted: {left, waiters that remain}
-- ARGV: id, waiter, keep_ms, mark that keeps late copies out (empty: none, it may ask again)
local id, waiter, keep_ms, mark = unpack(ARGV)
redis.call('HDEL', FLIGHT, field_of(id, waiter))
local others = false
for _, field in ipairs(redis.call('HKEYS', FLIGHT)) do
  others = others or string.match(field, '^w:([^\n]*)') == id
end
if not others and mark ~= '' then redis.call('SET', id_key(id), mark, 'PX', keep_ms) end
if not others and mark == '' then redis.call('DEL', id_key(id)) end
local f = redis.call('HMGET', FLIGHT, 'f', 'o', 'l', 'd')
if not f[1] then return {'left', 0} end
local remain = #waiters(FLIGHT)
-- A running call learns it at its next renewal.
if remain == 0 and not (f[2] and tonumber(f[3]) >= now) then redis.call('DEL', FLIGHT) end
return {'left', remain}
