-- What the flight scripts share. KEYS[1] is "<prefix>:{<fingerprint>}"; all keys below carry its hash tag.
--
--   :answer        the stored answer, with the time to live of the cache policy
--   :flight        hash: f flight, n dispatch number, o owner, l lease until, d latest deadline, p best priority,
--                  r owner that released the last dispatch, w:<name>\n<reply queue> one waiter each,
--                  q 1 while the one that leads waits at the gate, then the id of the one that was let through,
--                  x 1 if a tenant was forgotten that waited here: what comes of it is not stored,
--                  e 1 while the owner's call has ended and it rests before the next
--   :done:<f>      the flight after its end: the same hash with its outcome in `blob`, kept for a while
--   :id:<name>     the flight that a request belongs to, or why it no longer waits ("cancelled", "expired")
--   :deaths        hash: the owners that began a dispatch of this question and were not heard of again, kept for a
--                  while after the last; of the question and not of a flight, so that it does not kill more workers
--                  only because somebody asks it again
--
-- A request is named "<id>\t<its user's reply queues>": nobody can speak of another user's by choosing its id.
-- Times are Unix milliseconds of this server.
local base = KEYS[1]
local ANSWER, FLIGHT, DEATHS = base .. ':answer', base .. ':flight', base .. ':deaths'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function done_key(flight) return base .. ':done:' .. flight end
local function id_key(id) return base .. ':id:' .. id end

-- Two agents may choose the same id for the same question: each of them waits.
local function field_of(id, waiter) return 'w:' .. id .. '\n' .. cmsgpack.unpack(waiter).reply_to end

local function open_flight(flight, deadline, rank, id, waiter, keep_ms)
  redis.call('DEL', FLIGHT)
  redis.call('HSET', FLIGHT, 'f', flight, 'n', '1', 'd', deadline, 'p', rank, field_of(id, waiter), waiter)
  redis.call('SET', id_key(id), flight, 'PX', keep_ms)
end

local function waiters(key)
  local fields, found = redis.call('HGETALL', key), {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'w:' then found[#found + 1] = fields[i + 1] end
  end
  return found
end

-- Whether nobody waits any more; if so the flight ends here, and its requests are marked so that a redelivered copy
-- of one does not join again.
local function end_if_nobody_waits(latest_deadline, keep_ms)
  local fields, count = redis.call('HKEYS', FLIGHT), 0
  for _, field in ipairs(fields) do
    if string.sub(field, 1, 2) == 'w:' then count = count + 1 end
  end
  if count > 0 and tonumber(latest_deadline) >= now then return false end
  for _, field in ipairs(fields) do
    if string.sub(field, 1, 2) == 'w:' then
      redis.call('SET', id_key(string.match(field, '^w:([^\n]*)')), 'expired', 'PX', keep_ms)
    end
  end
  redis.call('DEL', FLIGHT)
  return true
end
