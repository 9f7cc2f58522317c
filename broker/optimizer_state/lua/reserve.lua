-- Reserve a part of a budget for one call, all limits or none:
--   {granted, why it goes first: "" | breaker | block} | {unknown}: this worker must first tell what it used (restore)
--   | {wait, ms, limit or word, in how many ms, how much of the limit leaves, …}: soonest first
-- ARGV: reservation, worker (empty: do not ask whether it is known), lease_ms, concurrency (0: any), for each limit:
--       name, count, amount, window_ms (0: fixed), margin_ms, start_ms, end_ms (of a fixed window's present period)
local id, worker, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local gate = redis.call('HMGET', GATE, 'grace', 'blocked', 'open', 'due', 'first', 'probe')
local grace, blocked, open, due, first, probe = unpack(gate)
if redis.call('HEXISTS', RESERVED, id) == 1 then
  return {'granted', probe == id and 'breaker' or first == id and 'block' or ''}
end
if worker ~= '' and redis.call('HEXISTS', KNOWN, worker) == 0 then return {'unknown'} end

local settings, set = redis.call('HGETALL', SETTINGS), {}
for i = 1, #settings, 2 do set[settings[i]] = settings[i + 1] end
if set.mode == 'paused' then return {'wait', 500, 'paused'} end

local until_ms, word = now, ''
for _, stop in ipairs({{grace, 'restored'}, {blocked, 'blocked'}, {open, 'breaker'}}) do
  if tonumber(stop[1] or 0) > until_ms then until_ms, word = tonumber(stop[1]), stop[2] end
end
if until_ms > now then return {'wait', until_ms - now, word} end

collect_lapsed()
if due and first and redis.call('HEXISTS', RESERVED, first) == 1 then return {'wait', 100, 'blocked'} end
if open and probe and redis.call('HEXISTS', RESERVED, probe) == 1 then return {'wait', 100, 'breaker'} end
local concurrency = tonumber(set['limit:concurrency'] or ARGV[4])
if concurrency > 0 and redis.call('ZCARD', LEASES) >= concurrency then return {'wait', 50, 'concurrency'} end

local wait, short, frees, parts = 0, '', {}, {}
for i = 5, #ARGV, 7 do
  local limit, count = ARGV[i], tonumber(set['limit:' .. ARGV[i]] or ARGV[i + 1])
  local slot_ms, start_ms, end_ms = tonumber(ARGV[i + 3]) / SLOTS, tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6])
  local fixed = slot_ms == 0
  -- The worker's clock is a little off. Where it is ahead, the period that it names has not begun.
  if fixed and now >= end_ms then start_ms, end_ms = end_ms, 2 * end_ms - start_ms end
  -- The backend's clock may be a little behind: it still counts the old period then.
  local early = fixed and start_ms + tonumber(ARGV[i + 4]) - now or 0
  -- More than there is would wait for ever: it waits for an empty window.
  local amount = math.min(tonumber(ARGV[i + 2]), math.max(count, 1))
  local flying = tonumber(redis.call('HGET', FLYING, limit) or 0)
  local used = used_of(limit, slot_ms, start_ms, end_ms)
  local over = used + flying + amount - count
  if early > 0 or over > 0 then
    local _, leaving = look_at(limit, slot_ms, start_ms, end_ms)
    table.sort(leaving, function(a, b) return a[1] < b[1] end)
    -- If only calls in flight stand in the way, nobody knows when they end: look again soon.
    local here = flying > 0 and 100 or 1000
    for _, slot in ipairs(leaving) do
      over = over - slot[2]
      if over <= 0 then here = math.ceil(slot[1] - now); break end
    end
    here = math.max(here, early)
    if here > wait then wait, short, frees = here, limit, leaving end
  end
  local left = count - used - flying - amount
  parts[#parts + 1] = {limit, slot_ms, amount, tonumber(ARGV[i + 4]), start_ms, end_ms, left, 0, 0}
end
if wait > 0 then
  local reply = {'wait', wait, short}
  for _, slot in ipairs(frees) do
    reply[#reply + 1] = math.ceil(slot[1] - now)
    reply[#reply + 1] = slot[2]
  end
  return reply
end

hold(id, lease_ms, parts)
if due then redis.call('HSET', GATE, 'first', id) end
if open then redis.call('HSET', GATE, 'probe', id) end
return {'granted', open and 'breaker' or due and 'block' or ''}
