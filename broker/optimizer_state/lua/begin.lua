-- A worker wants to run a dispatch:
--   {run} | {answered, blob, waiter…} | {hit, blob} | {busy, lease left ms, owner} | {nobody} | {moved}
--   | {redispatch, number} | {suspect} | {poison, deaths}
-- Once all but one of the `most` starts have killed their worker, the last is made alone (else: suspect); if that one
-- dies too there is none (poison: the dispatch is taken, only to be ended).
-- ARGV: flight, number, owner, lease_ms, may read (0/1), redelivered (0/1), id, deadline, rank, waiter, keep_ms,
--       only look (0/1): do not take the dispatch, owner whose worker died (empty: none is known to be dead),
--       most starts, alone (0/1): nothing else runs in this worker
local flight, number, owner, lease_ms, may_read, redelivered, id, deadline, rank, waiter, keep_ms, look, dead = unpack(ARGV)
local most, alone = tonumber(ARGV[14]), ARGV[15] == '1'
local deaths = redis.call('HLEN', DEATHS)

local function verdict()
  if deaths == most - 1 and not alone then return {'suspect'} end
  if look ~= '1' then redis.call('HSET', FLIGHT, 'n', number, 'o', owner, 'l', now + lease_ms, 'e', '0') end
  if deaths >= most then return {'poison', deaths} end
  return {'run'}
end

local blob = redis.call('HGET', done_key(flight), 'blob')
if blob then
  -- Only a redelivery can mean that the one who completed died before it replied to everybody.
  if redelivered == '1' then return {'answered', blob, unpack(waiters(done_key(flight)))} end
  return {'answered', blob, waiter}
end

local mark = redis.call('GET', id_key(id))
local gone = mark == 'cancelled' or mark == 'expired' or tonumber(deadline) < now

local f = redis.call('HMGET', FLIGHT, 'f', 'n', 'o', 'l', 'd', 'r', 'e')
if not f[1] then
  -- Forgotten: Redis lost its memory, or the flight ended. The waiter that the call carries is still to be answered.
  if gone then return {'nobody'} end
  if mark and mark ~= flight then
    local known = redis.call('HGET', done_key(mark), 'blob')
    if known then return {'answered', known, waiter} end
  end
  if may_read == '1' then
    local answer = redis.call('GET', ANSWER)
    if answer then return {'hit', answer} end
  end
  if look ~= '1' then open_flight(flight, deadline, rank, id, waiter, keep_ms) end
  return verdict()
end

if f[1] ~= flight then
  -- Another flight of the same question is open: the carried waiter joins it.
  if not gone then
    redis.call('HSET', FLIGHT, field_of(id, waiter), waiter)
    if tonumber(deadline) > tonumber(f[5]) then redis.call('HSET', FLIGHT, 'd', deadline) end
    redis.call('SET', id_key(id), f[1], 'PX', keep_ms)
  end
  return {'moved'}
end

if f[2] ~= number then
  -- Stale. If its worker died between releasing this dispatch and publishing the next one, publish that now.
  if redelivered == '1' and not f[3] and tonumber(f[2]) == tonumber(number) + 1 then return {'redispatch', f[2]} end
  return {'moved'}
end

if end_if_nobody_waits(f[5], keep_ms) then return {'nobody'} end
local other = f[3] and f[3] ~= owner and f[3] ~= dead
if other and tonumber(f[4]) >= now then return {'busy', tonumber(f[4]) - now, f[3]} end
if f[3] and f[3] ~= owner and f[7] ~= '1' then
  -- It began and was not heard of again. If it lives after all, its next word takes this back.
  redis.call('HSET', DEATHS, f[3], now)
  redis.call('PEXPIRE', DEATHS, keep_ms)
  deaths = redis.call('HLEN', DEATHS)
end
return verdict()
