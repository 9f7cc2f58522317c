-- Remove a flight that is past its latest deadline and that nobody runs: {swept, 0/1}
-- ARGV: grace_ms
local f = redis.call('HMGET', FLIGHT, 'f', 'l', 'd')
if not f[1] then return {'swept', 0} end
local latest = math.max(tonumber(f[3] or 0), tonumber(f[2] or 0))
if latest + tonumber(ARGV[1]) >= now then return {'swept', 0} end
redis.call('DEL', FLIGHT)
return {'swept', 1}
