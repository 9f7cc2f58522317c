-- Admit one request: {hit, blob} | {known, flight, blob} | {gone, why} | {join, flight, number, publish again?, known?, gated?}
--   | {lead, flight}
-- ARGV: id, may read the cache (0/1), deadline, priority rank, waiter, keep_ms, must pass the gate to lead (0/1)
local id, may_read, deadline, rank, waiter, keep_ms, must_pass = unpack(ARGV)

local mark = redis.call('GET', id_key(id))
if mark == 'cancelled' or mark == 'expired' then return {'gone', mark} end
if mark then
  local blob = redis.call('HGET', done_key(mark), 'blob')
  if blob then return {'known', mark, blob} end
end

if may_read == '1' then
  local blob = redis.call('GET', ANSWER)
  if blob then return {'hit', blob} end
end

local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'l', 'd', 'p', 'q')
local running = f[1] and f[3] and tonumber(f[4]) >= now
-- While a call runs it is joined even past the last deadline: a second one beside it would be one too many.
if f[1] and (running or tonumber(f[5]) >= now) then
  -- The call may have been lost on its way, or its coordinator died before it published: the same id again says so.
  local known = redis.call('HEXISTS', FLIGHT, field_of(id, waiter)) == 1
  -- While the one that leads waits at the gate, everybody may try to be the first who is let through.
  local gated = f[7] == '1' and not running
  local again = (known or gated) and not running
  redis.call('HSET', FLIGHT, field_of(id, waiter), waiter)
  if tonumber(deadline) > tonumber(f[5]) then redis.call('HSET', FLIGHT, 'd', deadline) end
  if tonumber(rank) < tonumber(f[6]) then
    redis.call('HSET', FLIGHT, 'p', rank)
    again = again or not running
  end
  redis.call('SET', id_key(id), f[1], 'PX', keep_ms)
  return {'join', f[1], f[2], again and 1 or 0, known and 1 or 0, gated and 1 or 0}
end

-- Flights are named by the time they began, in microseconds: unique without a counter that Redis could forget.
local flight = string.format('%.0f', clock[1] * 1000000 + clock[2])
open_flight(flight, deadline, rank, id, waiter, keep_ms)
if must_pass == '1' then redis.call('HSET', FLIGHT, 'q', '1') end
return {'lead', flight}
