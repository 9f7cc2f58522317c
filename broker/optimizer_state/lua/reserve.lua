-- Reserve a part of a backend's budget for one call, all limits or none:
--   {granted} | {wait, ms, limit that is used up} | {unknown}: this worker must first tell what it used (restore)
-- ARGV: reservation, worker, lease_ms, concurrency, then for each limit: name, count, window_ms, amount
local id, worker, lease_ms, concurrency = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

if redis.call('HEXISTS', RESERVED, id) == 1 then return {'granted'} end
if redis.call('HEXISTS', KNOWN, worker) == 0 then return {'unknown'} end

local blocked = tonumber(redis.call('GET', BLOCKED) or 0)
if blocked > now then return {'wait', blocked - now, 'blocked'} end

collect_lapsed()
if redis.call('ZCARD', LEASES) >= concurrency then return {'wait', 50, 'concurrency'} end

local wait, reason, parts = 0, '', {}
for i = 5, #ARGV, 4 do
  local limit, count, window, amount = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local slot_ms = window / 60
  local used, slots = tonumber(redis.call('HGET', FLYING, limit) or 0), {}
  local fields = redis.call('HGETALL', window_key(limit))
  for j = 1, #fields, 2 do
    local leaves = (tonumber(fields[j]) + 1) * slot_ms + window
    if leaves <= now then
      redis.call('HDEL', window_key(limit), fields[j])
    else
      used = used + tonumber(fields[j + 1])
      slots[#slots + 1] = {leaves, tonumber(fields[j + 1])}
    end
  end
  local over = used + amount - count
  if over > 0 then
    table.sort(slots, function(a, b) return a[1] < b[1] end)
    -- If only calls in flight stand in the way, nobody knows when they end: look again soon.
    local here = 100
    for _, slot in ipairs(slots) do
      over = over - slot[2]
      if over <= 0 then here = math.ceil(slot[1] - now); break end
    end
    if here > wait then wait, reason = here, limit end
  end
  parts[#parts + 1] = {limit, slot_ms, amount}
end
if wait > 0 then return {'wait', wait, reason} end

hold(id, lease_ms, parts)
return {'granted'}
