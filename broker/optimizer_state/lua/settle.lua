-- The call of a reservation has ended:
--   {settled, was it held here (0/1), new state of the breaker or "", failures, for how many ms it is open}
-- ARGV: reservation; how many ms ago its request was written, or "unsent" (give everything back), or "told" (give back
--       what flies: what it used is told otherwise); how many ms ago it ended; well | ill | unknown; the breaker:
--       failures (0: none), within_ms, open_ms; number of real amounts, these as limit, amount; what the backend says
--       is left: limit, count, remaining, …
local id, ago, ended, health = ARGV[1], ARGV[2], now - tonumber(ARGV[3]), ARGV[4]
local allowed, within_ms, open_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local real, said, last = {}, {}, 8 + 2 * tonumber(ARGV[8])
for i = 9, last, 2 do real[ARGV[i]] = tonumber(ARGV[i + 1]) end
for i = last + 1, #ARGV, 3 do said[ARGV[i]] = {tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])} end

-- Others use this budget too, or the backend counts otherwise: less is left than is known here. What was reserved after
-- this call may or may not be in what it says, so neither what was left then nor what is left now is too little.
local function lower(part, left, count, remaining)
  if left <= remaining then return end
  count = tonumber(redis.call('HGET', SETTINGS, 'limit:' .. part[LIMIT]) or count)
  local flying = tonumber(redis.call('HGET', FLYING, part[LIMIT]) or 0)
  local used = used_of(part[LIMIT], part[SLOT_MS], part[START_MS], part[END_MS])
  use(part, math.max(0, math.min(left, count - used - flying) - remaining))
end

local parts = take(id)
if parts and ago ~= 'told' then
  for _, part in ipairs(parts) do
    local limit, flew = part[LIMIT], part[SLOT] == 0
    if ago == 'unsent' then
      if not flew then use(part, -part[AMOUNT]) end
    else
      local amount = real[limit] or part[AMOUNT]
      if flew then place(part, math.min(now - tonumber(ago) + part[MARGIN_MS], now)) end
      use(part, flew and amount or amount - part[AMOUNT])
      if said[limit] then lower(part, part[LEFT] + part[AMOUNT] - amount, said[limit][1], said[limit][2]) end
    end
  end
end

local open, probe, first = unpack(redis.call('HMGET', GATE, 'open', 'probe', 'first'))
if first == id then
  redis.call('HDEL', GATE, 'first')
  if health == 'well' then redis.call('HDEL', GATE, 'due') end
end
if open and probe ~= id or not open and health ~= 'ill' then return {'settled', parts and 1 or 0, '', 0, 0} end

local function opened(failures)
  redis.call('HSET', GATE, 'open', whole(ended + open_ms))
  redis.call('HDEL', GATE, 'probe')
  redis.call('DEL', FAILURES)
  return {'settled', parts and 1 or 0, 'open', failures, math.max(0, ended + open_ms - now)}
end

if open then
  if health == 'ill' then return opened(1) end
  redis.call('HDEL', GATE, 'probe')
  if health == 'well' then
    redis.call('HDEL', GATE, 'open')
    redis.call('DEL', FAILURES)
    return {'settled', parts and 1 or 0, 'closed', 0, 0}
  end
elseif allowed > 0 then
  redis.call('ZADD', FAILURES, ended, id)
  redis.call('ZREMRANGEBYSCORE', FAILURES, '-inf', now - within_ms)
  local failures = redis.call('ZCARD', FAILURES)
  if failures >= allowed then return opened(failures) end
end
return {'settled', parts and 1 or 0, '', 0, 0}
