-- The mailbox of one submitted request: <prefix>:{mailbox:<owner>}:<id>, a hash
--
--   f   the fingerprint of its flight
--   w   what is known of the request, while it waits and after
--   r   its reply: the first end that came counts
--
-- It has a time to live: from its deadline on, or from its end, for as long as answers are kept.
local box = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
