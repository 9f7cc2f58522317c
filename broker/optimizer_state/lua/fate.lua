-- How it stands with a request in its flight, changing nothing:
--   {done, blob} | {gone, why} | {running} | {waiting} | {gated}: whoever leads waits at the gate | {none}
-- ARGV: id
local mark = redis.call('GET', id_key(ARGV[1]))
if mark == 'cancelled' or mark == 'expired' then return {'gone', mark} end
local blob = mark and redis.call('HGET', done_key(mark), 'blob')
if blob then return {'done', blob} end
local f = redis.call('HMGET', FLIGHT, 'f', 'o', 'l', 'q')
if not f[1] or f[1] ~= mark then return {'none'} end
if f[2] and tonumber(f[3]) >= now then return {'running'} end
return {f[4] == '1' and 'gated' or 'waiting'}
