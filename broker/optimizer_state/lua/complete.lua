-- End a flight with its outcome: {mine, waiter…} | {late}
-- An empty owner ends a flight that nobody runs (its call could not be published).
-- ARGV: flight, number, owner, blob, answer_ttl_ms (0: do not store), keep_ms, id, waiter, is an answer (0/1),
--       when the owner last read what was flushed
local flight, number, owner, blob, ttl_ms, keep_ms, id, waiter, answered, read_ms = unpack(ARGV)
local done = done_key(flight)
-- Whoever says this lives, and an answer shows that the question kills nobody.
if answered == '1' then redis.call('DEL', DEATHS) else redis.call('HDEL', DEATHS, owner) end

if redis.call('HGET', done, 'blob') then
  if redis.call('HGET', done, 'o') == owner then return {'mine', unpack(waiters(done))} end
  return {'late'}
end

local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'x')
-- A tenant that was in this flight has been forgotten since.
local forgotten = f[1] == flight and f[4]
-- Nobody waited any more, which ended the flight before this call could be broken off.
local cancelled = f[1] ~= flight and redis.call('GET', id_key(id)) == 'cancelled'
-- Whoever flushes waits for longer than this (`optimizer_state.flushes`); an answer that is not stored costs one call.
local current = math.abs(now - tonumber(read_ms)) <= 2000
if tonumber(ttl_ms) > 0 and current and not forgotten and not cancelled then
  redis.call('SET', ANSWER, blob, 'PX', ttl_ms)
end

if forgotten and f[2] == number and (f[3] or '') == owner and #waiters(FLIGHT) == 0 then
  redis.call('DEL', FLIGHT)
  return {'mine'}
end
if cancelled and not f[1] then return {'mine'} end
if not f[1] then
  -- Redis forgot the flight while it ran: remember the outcome for the one waiter that is known.
  redis.call('HSET', done, 'o', owner, 'blob', blob, field_of(id, waiter), waiter)
  redis.call('SET', id_key(id), flight, 'PX', keep_ms)
elseif f[1] == flight and f[2] == number and (f[3] or '') == owner then
  -- In one step: nobody can join a flight whose waiters have been read.
  redis.call('RENAME', FLIGHT, done)
  redis.call('HSET', done, 'o', owner, 'blob', blob)
else
  return {'late'}
end
redis.call('PEXPIRE', done, keep_ms)
return {'mine', unpack(waiters(done))}
