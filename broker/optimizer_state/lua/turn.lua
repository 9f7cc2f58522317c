-- What the turn scripts share. KEYS[1] is "<prefix>:{turn:<tenant>:<hash of an ordering key>}"; all keys below carry its
-- hash tag. A request is named by "<id>\n<reply queue>".
--
--   :line          sorted set: request -> its place (microseconds of its arrival); those that wait for their turn
--   :turn          hash: h who has the turn, u until when, p the place it had, x the latest deadline of all,
--                  g after a loss of everything: until when nobody takes the turn
--   :entry:<name>  hash: d deadline, a the request that it comes after, s since when it waits, f fingerprint, w waiter
--   :mark:<name>   "<e|s|d>\n<what it came after>": it has ended, was superseded, or will be as soon as it arrives
--
-- Times are Unix milliseconds of this server.
local base = KEYS[1]
local LINE, TURN = base .. ':line', base .. ':turn'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local MARK_MS, AFTERWARDS_MS = 900000, 60000
-- How long to wait for one that has not arrived: it may never have been published.
local PATIENCE_MS = 2000
-- The worker ends a call at its deadline and says so: its word is to come before the turn lapses.
local GRACE_MS = 500
-- Longer than those who wait, and the worker of one that runs, take to ask again.
local LOSS_MS = 750
-- Chains are bounded: a client may name anything, in a circle too.
local MOST_STEPS = 1000

local function entry_key(name) return base .. ':entry:' .. name end

local function set_mark(name, kind, after)
  redis.call('SET', base .. ':mark:' .. name, kind .. '\n' .. after, 'PX', MARK_MS)
end

-- The kind of a mark and what its request came after, or nil.
local function mark_of(name)
  local mark = redis.call('GET', base .. ':mark:' .. name)
  if mark then return string.sub(mark, 1, 1), string.sub(mark, 3) end
end

local function end_turn(name)
  redis.call('HDEL', TURN, 'h', 'u', 'p')
  redis.call('DEL', entry_key(name))
  set_mark(name, 'e', '')
end

-- How long all of this is to be kept.
local function keep_until(deadline)
  local latest = math.max(tonumber(deadline), tonumber(redis.call('HGET', TURN, 'x') or 0))
  redis.call('HSET', TURN, 'x', latest)
  redis.call('PEXPIREAT', TURN, latest + AFTERWARDS_MS)
  redis.call('PEXPIREAT', LINE, latest + AFTERWARDS_MS)
end

local function holder()
  local turn = redis.call('HMGET', TURN, 'h', 'u')
  if turn[1] and tonumber(turn[2]) < now then
    end_turn(turn[1])
    return nil
  end
  return turn[1] or nil
end

local HOLDER = holder()

local function in_line(name) return redis.call('ZSCORE', LINE, name) end

-- What a request still comes after, and whether that has arrived: those that ended are followed to what they came after.
local function comes_after(name)
  local first = redis.call('HGET', entry_key(name), 'a') or ''
  local after, arrived = first, true
  for _ = 1, MOST_STEPS do
    if after == name then after = '' end
    if after == '' or after == HOLDER then break end
    if in_line(after) then
      local entry = redis.call('HMGET', entry_key(after), 'd', 'a')
      if entry[1] and tonumber(entry[1]) >= now then break end
      after = entry[2] or ''
    else
      local kind, further = mark_of(after)
      if not kind or kind == 'd' then
        arrived = false
        break
      end
      after = further
    end
  end
  if after ~= first then redis.call('HSET', entry_key(name), 'a', after) end
  return after, arrived
end

local function is_free(name)
  local after, arrived = comes_after(name)
  if after == '' then return true end
  return not arrived and tonumber(redis.call('HGET', entry_key(name), 's')) + PATIENCE_MS < now
end

local function step_out(name, kind)
  local after = comes_after(name)
  redis.call('ZREM', LINE, name)
  redis.call('DEL', entry_key(name))
  set_mark(name, kind, after)
end
